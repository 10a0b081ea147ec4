import type { SampleData } from './data.js';

/** Where an instance's services find its database and its Redis. */
export interface Connections {
  readonly database: {
    readonly host: string;
    readonly port: number;
    readonly name: string;
    readonly user: string;
    readonly password?: string;
  };
  readonly redis: { readonly host: string; readonly port: number; readonly password?: string };
}

/** The text of `.env.production`: comments, quotes and an empty value included, as people's files have them. */
export function envFileText(data: SampleData, { database, redis }: Connections): string {
  const { secrets } = data;
  return `# Generated with mastodon:setup on 2022-11-06 10:00:00 UTC

# Federation
LOCAL_DOMAIN=${data.domain}
SINGLE_USER_MODE=false
DEFAULT_LOCALE=en

# Secrets
SECRET_KEY_BASE=${secrets.SECRET_KEY_BASE}
OTP_SECRET=${secrets.OTP_SECRET}
ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY=${secrets.ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY}
ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT=${secrets.ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT}
ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY="${secrets.ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY}"
VAPID_PRIVATE_KEY=${secrets.VAPID_PRIVATE_KEY}
VAPID_PUBLIC_KEY=${secrets.VAPID_PUBLIC_KEY}

# Database
DB_HOST=${database.host}
DB_PORT=${String(database.port)}
DB_NAME=${database.name}
DB_USER=${database.user}
DB_PASS=${database.password === undefined ? '' : `'${database.password}'`}

# Redis
REDIS_HOST=${redis.host}
REDIS_PORT=${String(redis.port)}
REDIS_PASSWORD=${redis.password ?? ''}

# Mail
SMTP_SERVER=localhost
SMTP_PORT=25
SMTP_FROM_ADDRESS='Sample <notifications@${data.domain}>' # shown to members
S3_ENABLED=false
`;
}
