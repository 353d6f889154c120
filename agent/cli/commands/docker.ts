import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect, printBody, record, records } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { cell, renderTable } from '../table.ts'

/** `constellation docker`: the containers of a host and what became of them. */
export function dockerCommand(io: CliIo): Command {
  return clientCommand(
    'docker',
    'List the containers of the host of the agent, the instance each became or why it became none, and what is wrong with its labels and ports.',
    ['constellation docker', "constellation docker --json | jq '.containers[].problems'"],
  )
    .option('--json', 'print the answer of the API')
    .action(async (options: ClientOptions) => {
      const api = await connect(options, io)
      const body = await api.expect('/api/v1/docker')
      if (options.json === true) return printBody(io, body)
      const { engine, containers } = record(api.parse(body))
      const { connected, error, address } = record(engine)
      if (connected !== true) {
        const why = typeof error === 'string' ? error : `the engine at ${cell(address)} has not answered yet`
        io.stdout.write(`not connected: ${why}\n`)
      }
      const rows = records(containers).flatMap(containerRows)
      io.stdout.write(
        renderTable(['CONTAINER', 'STATE', 'INSTANCE', 'STATUS', 'NOTES'], rows, 'no containers'),
      )
    })
}

function containerRows(container: Readonly<Record<string, unknown>>): string[][] {
  const { name, state, health, instance, status, reason } = container
  const problems = records(container.problems).map(({ message }) => cell(message))
  const { note } = record(container.runOnce)
  const failing = status === 'critical' ? container.output : null
  const why = typeof note === 'string' ? note : instance === null ? reason : failing
  const notes = typeof why !== 'string' ? problems : [cell(why), ...problems]
  const standing = typeof health === 'string' ? `${cell(state)} (${health})` : cell(state)
  const [first = '', ...rest] = notes
  return [
    [cell(name), standing, cell(instance), cell(status), first],
    ...rest.map((note) => ['', '', '', '', note]),
  ]
}
