/** Mastodon's units: names, users, folders, restarts and sandbox as in mastodon/mastodon dist/; the programs are the sample's. */
const services = '/opt/permafrost-sample/sample/services';

const sandbox = `NoNewPrivileges=true
ProtectSystem=strict
PrivateTmp=true
PrivateDevices=true
ProtectKernelTunables=true
ProtectControlGroups=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictSUIDSGID=true
ReadWritePaths=/home/mastodon/live`;

function unit(
  description: string,
  partOf: string,
  environment: readonly string[],
  program: string,
  wanted: string,
): string {
  return `[Unit]
Description=${description}
After=network.target
${partOf}
[Service]
Type=simple
User=mastodon
WorkingDirectory=/home/mastodon/live
${environment.map((variable) => `Environment="${variable}"`).join('\n')}
ExecStart=/usr/local/bin/node ${services}/${program}.mjs
TimeoutSec=15
Restart=always
${sandbox}

[Install]
WantedBy=${wanted}
`;
}

const web = ['RAILS_ENV=production', 'PORT=3000', 'BIND=0.0.0.0'];
const sidekiq = ['RAILS_ENV=production', 'DB_POOL=25', 'MALLOC_ARENA_MAX=2'];
const streaming = ['NODE_ENV=production', 'PORT=%i'];

export const unitFiles: Readonly<Record<string, string>> = {
  'mastodon-web.service': unit('mastodon-web', '', web, 'web', 'multi-user.target'),
  'mastodon-sidekiq.service': unit('mastodon-sidekiq', '', sidekiq, 'sidekiq', 'multi-user.target'),
  'mastodon-streaming@.service': unit(
    'mastodon-streaming on port %i',
    'PartOf=mastodon-streaming.service\nReloadPropagatedFrom=mastodon-streaming.service\n',
    streaming,
    'streaming',
    'multi-user.target mastodon-streaming.service',
  ),
  'mastodon-streaming.service': `[Unit]
Description=mastodon-streaming
After=network.target
Wants=mastodon-streaming@4000.service

[Service]
Type=oneshot
ExecStart=/bin/echo "stands for all instances of mastodon-streaming@"
ExecReload=/bin/echo "stands for all instances of mastodon-streaming@"
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
`,
};

/** All of them are enabled and active on a Mastodon host. */
export const units = [
  'mastodon-web.service',
  'mastodon-sidekiq.service',
  'mastodon-streaming.service',
  'mastodon-streaming@4000.service',
] as const;
