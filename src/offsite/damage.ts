import { Failure } from '../errors.js';

/** Runs a read; what the off-site itself says of damaged content comes back as text. Other failures go on. */
export async function damageOf<T>(read: () => Promise<T>): Promise<T | string> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Failure && isDamage(error)) return error.message;
    throw error;
  }
}

/** Whether a failure says that what is stored is broken, and not that it cannot be reached. */
function isDamage({ type }: Failure): boolean {
  return type === 'VerifyFailed' || type === 'NotRestorable';
}
