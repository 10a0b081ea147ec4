#!/usr/bin/env -S node --optimize-for-size --max-semi-space-size=2
import { backupCommand } from './backup.js';
import { cancelCommand } from './cancel.js';
import { checkFreshnessCommand } from './check-freshness.js';
import { isMain, type Run, runScript } from './cli/command.js';
import { completionCommand } from './completion.js';
import { configCommand } from './config.js';
import { copyCommand } from './copy.js';
import { doctorCommand } from './doctor.js';
import { drillCommand } from './drill.js';
import { initCommand } from './init.js';
import { keepCommand } from './keep.js';
import { listCommand } from './list.js';
import { offsiteCommand } from './offsite.js';
import { pruneCommand } from './prune.js';
import { recoverySheetCommand } from './recovery-sheet.js';
import { reportCommand } from './report.js';
import { restoreCommand } from './restore.js';
import { scheduleCommand } from './schedule.js';
import { servicesCommand } from './services.js';
import { showCommand } from './show.js';
import { statusCommand } from './status.js';
import { undoCommand } from './undo.js';
import { unitCommand } from './unit.js';
import { upCommand } from './up.js';
import { verifyCommand } from './verify.js';
import { workerCommand } from './worker.js';

/** The command that holds the verbs together; each is a script of its own beside this one. */
export function permafrostCommand(run: Run) {
  const permafrost = run.command(
    'permafrost',
    'Durable, proven backups for Mastodon servers, run by Temporal',
  );
  const verbs = [
    upCommand,
    workerCommand,
    initCommand,
    doctorCommand,
    backupCommand,
    listCommand,
    showCommand,
    verifyCommand,
    drillCommand,
    restoreCommand,
    undoCommand,
    copyCommand,
    reportCommand,
    recoverySheetCommand,
    statusCommand,
    checkFreshnessCommand,
    keepCommand,
    pruneCommand,
    scheduleCommand,
    cancelCommand,
    servicesCommand,
    offsiteCommand,
    unitCommand,
    configCommand,
    completionCommand,
  ];
  for (const verb of verbs) permafrost.addCommand(verb(run));
  return permafrost;
}

if (isMain(import.meta.url)) await runScript(permafrostCommand);
