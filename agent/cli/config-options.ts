import { hostname } from 'node:os'
import type { Command } from 'commander'
import type { ConfigFlags } from '../config/load.ts'
import type { Config } from '../config/types.ts'
import type { CliIo } from './io.ts'

/** The flags of `agent` and `validate` as commander hands them over. */
export interface ConfigOptions {
  readonly config?: string
  readonly node?: string
  readonly dataDir?: string
  readonly mesh?: string
  readonly http?: string
  readonly dns?: string
  readonly join?: readonly string[]
  readonly bootstrapExpect?: string
  readonly clusterKeyFile?: string
  readonly logLevel?: string
  readonly logFormat?: string
}

/** Adds the flags that override the configuration file. Their values are judged by the configuration, not here. */
export function addConfigOptions(command: Command): Command {
  return command
    .option('--node <name>', 'name of this node (default: the host name)')
    .option('--data-dir <folder>', 'where state is kept')
    .option('--mesh <host:port>', 'where other nodes connect to (default: 127.0.0.1:7946)')
    .option('--http <host:port>', 'where the HTTP API listens (default: 127.0.0.1:8500)')
    .option('--dns <host:port>', 'where the DNS interface listens (default: 127.0.0.1:8600)')
    .option(
      '--join <host:port>',
      'mesh address of a member to join by; may be repeated',
      (value: string, previous: readonly string[] = []) => [...previous, value],
    )
    .option('--bootstrap-expect <n>', 'how many nodes make the first cluster (default: 1, with --join 0)')
    .option('--cluster-key-file <file>', 'file with the cluster key (see constellation keygen)')
    .option('--log-level <level>', 'fatal, error, warn, info, debug or trace (default: info)')
    .option('--log-format <format>', 'auto, json or pretty (default: auto)')
}

/**
 * Prepares loading the configuration, at the start and again for each reload. Warnings go to standard error.
 * The function it answers throws ConfigError.
 */
export async function configLoader(
  options: ConfigOptions,
  file: string | null,
  io: CliIo,
): Promise<() => Config> {
  const { loadConfig } = await import('../config/load.ts')
  const flags: ConfigFlags = {
    'node.name': options.node,
    data_dir: options.dataDir,
    'mesh.listen': options.mesh,
    'http.listen': options.http,
    'dns.listen': options.dns,
    'cluster.join': options.join,
    'cluster.bootstrap_expect': options.bootstrapExpect,
    'cluster.key_file': options.clusterKeyFile,
    'log.level': options.logLevel,
    'log.format': options.logFormat,
  }
  const onWarning = (line: string) => io.stderr.write(`warning: ${line}\n`)
  return () => loadConfig({ file, flags, env: io.env, hostname: hostname(), onWarning })
}
