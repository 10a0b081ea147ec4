/** A backup's id is the UTC time at which its run began, to the second: `20261121T031700Z`. */
export type BackupId = string;

export const backupIdPattern = /^\d{8}T\d{6}Z$/;

export function backupIdOf(time: Date): BackupId {
  return `${time.toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
}

/** The time that an id names. @throws RangeError when it names none. */
export function timeOfBackup(id: BackupId): Date {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(id);
  const time = match
    ? new Date(id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
    : undefined;
  // A 30th of February is not told by Date, which takes it for the 2nd of March.
  if (!time || Number.isNaN(time.getTime()) || backupIdOf(time) !== id)
    throw new RangeError(`'${id}' is not a backup's id (such as 20261121T031700Z)`);
  return time;
}
