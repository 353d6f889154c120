import { Writable } from 'node:stream'
import { openDockerClient } from './docker-client.ts'
import { formatGoDuration } from './duration.ts'
import { OutputTail } from './output-tail.ts'
import { exitStatus, type ProbeLimits, type ProbeResult, ProbeTimeoutError, reason } from './probe.ts'
import type { CheckKind } from './types.ts'

/** A check that runs a program in a container. */
export type DockerKind = Extract<CheckKind, { type: 'docker' }>

/** Errors of the socket that mean that there is no engine behind it. */
const NO_ENGINE: ReadonlySet<unknown> = new Set(['ENOENT', 'ECONNREFUSED', 'EACCES'])

/**
 * Runs a program in a container of the local Docker engine: exit code 0 passing, 1 warning, anything else critical (Consul's
 * Docker check). A container or an engine that is not there is critical with the reason.
 * Never rejects. An aborted signal ends it as critical; what it started in the container cannot be ended from outside.
 * @param socketPath the socket of the engine
 */
export async function probeDocker(
  kind: DockerKind,
  socketPath: string,
  { signal, outputMax }: ProbeLimits,
): Promise<ProbeResult> {
  const output = new OutputTail(outputMax)
  try {
    const code = await execute(kind, socketPath, output, signal)
    return { status: exitStatus(code), output: output.text() }
  } catch (error) {
    const text = signal.aborted ? abortText(signal.reason) : failureText(error, kind.container, socketPath)
    return { status: 'critical', output: [text, output.text()].filter((part) => part !== '').join('\n') }
  }
}

async function execute(
  kind: DockerKind,
  socketPath: string,
  output: OutputTail,
  signal: AbortSignal,
): Promise<number | null> {
  const docker = await openDockerClient({ socketPath })
  signal.throwIfAborted()
  const command = kind.shell === '' ? [...kind.args] : [kind.shell, '-c', kind.args.join(' ')]
  const exec = await docker
    .getContainer(kind.container)
    .exec({ Cmd: command, AttachStdout: true, AttachStderr: true, abortSignal: signal })
  const stream = await exec.start({ Detach: false, Tty: false, abortSignal: signal })
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      output.write(chunk)
      done()
    },
  })
  docker.modem.demuxStream(stream, sink, sink)
  await ended(stream, signal)
  const { ExitCode, Running } = await exec.inspect({ abortSignal: signal })
  if (Running) throw new Error('the engine closed the output of the check before it had ended')
  return ExitCode
}

function ended(stream: NodeJS.ReadWriteStream, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  stream.once('end', resolve)
  stream.once('close', resolve)
  stream.once('error', reject)
  if (signal.aborted) onAbort()
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort)
    if ('destroy' in stream && typeof stream.destroy === 'function') stream.destroy()
  })
}

function abortText(why: unknown): string {
  if (!(why instanceof ProbeTimeoutError)) return reason(why)
  return `Timed out (${formatGoDuration(why.limitMs)}) running check`
}

function failureText(error: unknown, container: string, socketPath: string): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (NO_ENGINE.has(code)) return `no Docker engine answers at ${socketPath}: ${reason(error)}`
  const said =
    error instanceof Error && 'json' in error
      ? (error.json as { message?: unknown } | null)?.message
      : undefined
  return `cannot run the check in container ${container}: ${typeof said === 'string' ? said : reason(error)}`
}
