import type { Command } from 'commander'
import { type ClientOptions, clientCommand, connect } from '../client-command.ts'
import type { CliIo } from '../io.ts'
import { printable } from '../table.ts'

/** Longer than an agent takes to leave, so that its own words arrive. */
const LEAVE_TIMEOUT_MS = 15_000

/** `constellation leave`: the agent that is asked leaves the cluster and ends. */
export function leaveCommand(io: CliIo): Command {
  return clientCommand(
    'leave',
    'Have an agent leave the cluster on purpose and end, as SIGTERM does. The others list it as left, not as failed.',
    ['constellation leave', 'constellation leave --http-addr 10.0.0.3:8500'],
  ).action(async (options: ClientOptions) => {
    const api = await connect(options, io)
    await api.expect('/v1/agent/leave', { method: 'PUT', timeoutMs: LEAVE_TIMEOUT_MS })
    io.stdout.write(`the agent at ${api.address} leaves\n`)
  })
}

/** `constellation force-leave`: a failed member is declared left. */
export function forceLeaveCommand(io: CliIo): Command {
  return clientCommand(
    'force-leave',
    'Declare a failed member left, for the whole cluster: nobody tries to reach it any more and its name is free. ' +
      'Refused for one that lives; should it come back, it is a member again.',
    ['constellation force-leave n3', 'constellation force-leave n3 --prune   # do not even list it any more'],
  )
    .argument('<node>', 'name or id of the member')
    .option('--prune', 'forget the member entirely; also one that left')
    .action(async (node: string, options: ClientOptions & { readonly prune?: boolean }) => {
      const api = await connect(options, io)
      const path = `/v1/agent/force-leave/${encodeURIComponent(node)}${options.prune === true ? '?prune' : ''}`
      await api.expect(path, { method: 'PUT' })
      io.stdout.write(`${options.prune === true ? 'forgotten' : 'declared left'}: ${printable(node)}\n`)
    })
}
