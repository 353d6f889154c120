import { readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { Command } from 'commander'
import { nonEmpty } from '../argument-values.ts'
import { examplesText } from '../client-command.ts'
import { configLoader } from '../config-options.ts'
import { CliError } from '../errors.ts'
import type { CliIo } from '../io.ts'
import { printable, renderTable } from '../table.ts'

interface ComposeOptions {
  readonly config?: string
  readonly node?: string
  readonly address?: string
  readonly exposeByDefault?: boolean
  readonly json?: boolean
  readonly output?: string
}

/** Stands for the address of the host while nobody says which it is. */
const HOST = 'HOST'
const FILE_BYTES_MAX = 4 * 1024 * 1024

/** `constellation compose`: what a Compose file would publish, and service definitions out of one. Starts and asks nothing. */
export function composeCommand(io: CliIo): Command {
  return new Command('compose')
    .description('Look at Compose files with the eyes of the agent. Starts nothing and asks no engine.')
    .addHelpText(
      'after',
      examplesText([
        'constellation compose lint compose.yaml',
        'constellation compose import compose.yaml --output /etc/constellation/services.d/shop.yaml',
      ]),
    )
    .addCommand(lintCommand(io))
    .addCommand(importCommand(io))
}

function lintCommand(io: CliIo): Command {
  return withFiles('lint')
    .description(
      'Explain what would be published of a stack, from where, and what is wrong. Exit code 1 if something that is asked for would not be.',
    )
    .option('--json', 'print the whole report as JSON')
    .addHelpText(
      'after',
      examplesText([
        'constellation compose lint compose.yaml',
        'constellation compose lint compose.yaml compose.override.yaml --config /etc/constellation/constellation.yaml',
        'constellation compose lint --expose-by-default --json compose.yaml',
      ]),
    )
    .action(async (files: string[], options: ComposeOptions) => {
      const { report } = await lint(io, files, options)
      if (options.json === true) io.stdout.write(`${JSON.stringify(withoutInstances(report), null, 2)}\n`)
      else io.stdout.write(renderReport(report))
      if (report.findings.some(({ severity }) => severity === 'error')) io.exitCode = 1
    })
}

function importCommand(io: CliIo): Command {
  return withFiles('import')
    .description(
      'Write service definitions for a watched folder out of a stack, for a host whose agent does not watch the engine. ' +
        'What could not be taken over is said on standard error.',
    )
    .option(
      '--output <file>',
      'where to write; a file that is there is not overwritten (default: standard output)',
      nonEmpty,
    )
    .addHelpText(
      'after',
      examplesText([
        'constellation compose import compose.yaml',
        'constellation compose import compose.yaml --output /etc/constellation/services.d/shop.yaml',
      ]),
    )
    .action(async (files: string[], options: ComposeOptions) => {
      const { report } = await lint(io, files, options)
      const { importProject } = await import('../../../providers/compose/import.ts')
      const { yaml, names, notes } = importProject(report)
      for (const note of notes) io.stderr.write(`${printable(note)}\n`)
      if (names.length === 0) throw new CliError('CLI_FAILED', 'no service of these files can be taken over')
      if (options.output === undefined) {
        io.stdout.write(yaml)
        return
      }
      try {
        await writeFile(options.output, yaml, { flag: 'wx' })
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException
        const why = code === 'EEXIST' ? 'it is there already: choose another, or remove it' : message
        throw new CliError('CLI_FAILED', `cannot write ${options.output}: ${why}`, { cause })
      }
      io.stdout.write(`wrote ${options.output}: ${names.join(', ')}\n`)
    })
}

function withFiles(name: string): Command {
  return new Command(name)
    .argument('<files...>', 'Compose files, each adding to the ones before')
    .option(
      '--config <file>',
      'configuration of the agent: its settings of Docker and Traefik decide',
      nonEmpty,
    )
    .option('--node <name>', 'name of the host (default: that of the configuration, or this one)', nonEmpty)
    .option(
      '--address <address>',
      `where others reach the host (default: ${HOST}, to stand for it)`,
      nonEmpty,
    )
    .option('--expose-by-default', 'as providers.docker.expose_by_default')
}

async function lint(io: CliIo, files: readonly string[], options: ComposeOptions) {
  const { loadProject } = await import('../../../providers/compose/project.ts')
  const { lintProject } = await import('../../../providers/compose/lint.ts')
  const { ComposeError } = await import('../../../providers/compose/errors.ts')
  const { traefikOptions } = await import('../../traefik/options.ts')
  const { suggest } = await import('../../config/suggest.ts')
  const config = options.config === undefined ? null : (await configLoader({}, options.config, io))()
  const docker = config?.providers.docker ?? null
  const traefik = config?.providers.traefik ?? null
  try {
    const project = await loadProject(files, { read: readText, env: io.env })
    const report = lintProject(project, {
      node: options.node ?? config?.node.name ?? hostname(),
      address: options.address ?? docker?.address ?? config?.mesh.advertise?.host ?? HOST,
      exposeByDefault: options.exposeByDefault ?? docker?.exposeByDefault ?? false,
      routableNetworks: new Set(docker?.routableNetworks),
      mayRestart: docker?.restart ?? true,
      mayRunOnce: docker?.runOnce ?? true,
      suggest,
      traefik:
        traefik === null ? (config === null ? { entryPoints: [] } : null) : traefikOptions(traefik).render,
    })
    return { report }
  } catch (error) {
    if (error instanceof ComposeError) throw new CliError('CLI_FAILED', error.message, { cause: error })
    throw error
  }
}

async function readText(path: string): Promise<string | null> {
  try {
    const bytes = await readFile(path)
    if (bytes.length > FILE_BYTES_MAX) {
      throw new CliError('CLI_FAILED', `${path} has more than ${FILE_BYTES_MAX} bytes: it is no Compose file`)
    }
    return bytes.toString('utf8')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    if (cause instanceof CliError) throw cause
    throw new CliError('CLI_FAILED', `cannot read ${path}: ${message}`, { cause })
  }
}

type Report = Awaited<ReturnType<typeof lint>>['report']

function withoutInstances({ services, ...rest }: Report): object {
  return {
    ...rest,
    services: services.map(({ instance: _instance, planned: _planned, ...service }) => service),
  }
}

function renderReport({ project, services, findings }: Report): string {
  const rows = services.flatMap((service) => {
    const [first, ...more] = [
      ...service.endpoints.map(({ name, address, port, problem }) =>
        problem === undefined ? `${name} at ${address}:${port}` : `${name} not reachable`,
      ),
    ]
    const head = [service.name, service.service ?? 'no', first ?? '-']
    return [head, ...more.map((text) => ['', '', text])]
  })
  const published = services.filter((each) => each.service !== null).length
  const absent = services
    .filter((each) => each.service === null)
    .map(({ name, reason }) => `${name} is not published: ${reason}\n`)
  const routes = services.flatMap(({ name, routes: found }) =>
    found.map(({ protocol, router, rule, entryPoints }) => [
      name,
      `${protocol} ${router}`,
      rule === '' ? '-' : rule,
      entryPoints.length === 0 ? '(default)' : entryPoints.join(','),
    ]),
  )
  const parts = [
    `project ${project}: ${published} of ${services.length} services would be published\n`,
    renderTable(['SERVICE', 'IN THE CATALOGUE', 'REACHED BY OTHERS'], rows, ''),
    absent.map(printableLine).join(''),
    routes.length === 0 ? '' : renderTable(['SERVICE', 'ROUTER', 'RULE', 'ENTRY POINTS'], routes, ''),
    findings
      .map(({ severity, where, service, message }) =>
        printableLine(`${where}: ${severity}: ${service === '' ? '' : `${service}: `}${message}\n`),
      )
      .join(''),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

function printableLine(line: string): string {
  return `${printable(line.trimEnd())}\n`
}
