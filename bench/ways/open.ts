import { spawnSync } from 'node:child_process';
import type { Stage } from '../stage.js';
import { bareTool } from './bare.js';
import { borgmatic } from './borgmatic.js';
import { PermafrostWay } from './permafrost.js';
import { recipe } from './recipe.js';
import { resticScript } from './restic.js';
import type { Way, WayName } from './way.js';

/** Whether a way can be measured here; the set-up sees to all but borgmatic. */
export function installed(name: WayName): boolean {
  return name !== 'borgmatic' || spawnSync('borgmatic', ['--version']).status === 0;
}

export async function openWay(name: WayName, stage: Stage): Promise<Way> {
  const ground = { instance: stage.instance, folder: await stage.wayFolder(name) };
  switch (name) {
    case 'recipe':
      return recipe(ground);
    case 'permafrost':
      return new PermafrostWay(ground, ['restic']);
    case 'permafrost-rclone':
      return new PermafrostWay(ground, ['rclone']);
    case 'permafrost-rsync':
      return new PermafrostWay(ground, ['rsync']);
    case 'permafrost-two':
      return new PermafrostWay(ground, ['restic', 'rclone']);
    case 'bare-restic':
      return bareTool(ground, 'restic');
    case 'bare-rclone':
      return bareTool(ground, 'rclone');
    case 'bare-rsync':
      return bareTool(ground, 'rsync');
    case 'restic':
      return resticScript(ground);
    case 'borgmatic':
      return borgmatic(ground);
  }
}
