import { execa } from 'execa';

/** Tells systemd, where a unit of `Type=notify` has started us, that we work (sd_notify(3)). Never fails. */
export async function tellSystemd(): Promise<void> {
  if (!process.env['NOTIFY_SOCKET']) return;
  await execa('systemd-notify', ['--ready'], { reject: false, timeout: 10_000, stdio: 'ignore' });
}
