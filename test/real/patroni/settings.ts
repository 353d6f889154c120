/** What Patroni is told about time, in whole seconds. */
export interface Timing {
  /** How long the leader key outlives the last sign of its holder; the session's TTL is half of it. */
  readonly ttl: number
  readonly loopWait: number
  /** How long one operation on the store is tried again before the primary steps down. */
  readonly retryTimeout: number
}

/** Patroni's own defaults. */
export const DEFAULT_TIMING: Timing = { ttl: 30, loopWait: 10, retryTimeout: 10 }

export const SCOPE = 'pg'
/** Superuser of the database, for everything: this cluster lives for minutes, on loopback. */
export const USER = { name: 'postgres', password: 'loopback' } as const

/** What one member is told. */
export interface MemberSettings {
  readonly name: string
  readonly folder: string
  readonly ports: { readonly postgres: number; readonly rest: number }
  /** Port of the agent it uses. */
  readonly agentPort: number
  readonly binDir: string
  readonly timing: Timing
}

/** Patroni's configuration of a member, as JSON, which is YAML. Keys are Patroni's. */
export function memberConfiguration(settings: MemberSettings): string {
  const { name, folder, ports, agentPort, binDir, timing } = settings
  const login = { username: USER.name, password: USER.password }
  return JSON.stringify(
    {
      scope: SCOPE,
      name,
      restapi: { listen: `127.0.0.1:${ports.rest}`, connect_address: `127.0.0.1:${ports.rest}` },
      consul: { host: '127.0.0.1', port: agentPort, register_service: true },
      bootstrap: {
        dcs: {
          ttl: timing.ttl,
          loop_wait: timing.loopWait,
          retry_timeout: timing.retryTimeout,
          synchronous_mode: true,
          postgresql: {
            use_pg_rewind: true,
            parameters: {
              max_connections: 30,
              shared_buffers: '16MB',
              autovacuum: 'off',
              wal_keep_size: '128MB',
            },
          },
        },
        initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums', 'no-sync'],
        pg_hba: ['host all all 127.0.0.1/32 md5', 'host replication all 127.0.0.1/32 md5'],
      },
      postgresql: {
        listen: `127.0.0.1:${ports.postgres}`,
        connect_address: `127.0.0.1:${ports.postgres}`,
        data_dir: `${folder}/${name}`,
        bin_dir: binDir,
        pgpass: `${folder}/${name}.pgpass`,
        authentication: { superuser: login, replication: login },
        parameters: { unix_socket_directories: folder },
      },
    },
    null,
    2,
  )
}
