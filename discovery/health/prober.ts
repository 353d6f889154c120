import { probeDocker } from './docker-probe.ts'
import { probeGrpc, splitGrpcTarget } from './grpc-probe.ts'
import { probeH2 } from './h2-probe.ts'
import { probeHttp } from './http-probe.ts'
import { NameLookup, type Names } from './name-lookup.ts'
import type { ProbeLimits, ProbeResult } from './probe.ts'
import { probeScript } from './script-probe.ts'
import { probeTcp } from './tcp-probe.ts'
import type { PolledKind } from './types.ts'
import { probeUdp } from './udp-probe.ts'

/** What probes may do on this machine. */
export interface ProberOptions {
  /** False: checks that run programs are critical and say why. Default false. */
  readonly scripts?: boolean
  /** Socket of the Docker engine. Default `/var/run/docker.sock`. */
  readonly dockerSocket?: string
  /** Looks up the names of targets. Default: this machine's names. */
  readonly names?: Names
}

/** Runs a check once. Never rejects. */
export type Probe = (kind: PolledKind, limits: ProbeLimits) => Promise<ProbeResult>

const SCRIPTS_OFF: ProbeResult = {
  status: 'critical',
  output: 'Checks that run programs are disabled on this agent (checks.scripts).',
}

/** Probes of every kind on this machine. */
export function systemProbe(options: ProberOptions = {}): Probe {
  const { scripts = false, dockerSocket = '/var/run/docker.sock', names = new NameLookup() } = options
  return async (kind, given) => {
    const limits = { ...given, names }
    switch (kind.type) {
      case 'http':
        return probeHttp(kind, limits)
      case 'tcp':
        return probeTcp(kind, limits)
      case 'udp':
        return probeUdp(kind.address, limits)
      case 'grpc':
        return probeGrpc(kind, limits)
      case 'h2ping':
        return probeH2(kind, limits)
      case 'script':
        return scripts ? probeScript(kind.args, limits) : SCRIPTS_OFF
      case 'docker':
        return scripts ? probeDocker(kind, dockerSocket, limits) : SCRIPTS_OFF
    }
  }
}

/** What a check asks: checks of one target share its places, so that one that hangs cannot take those of the others. */
export function probeTarget(kind: PolledKind): string {
  switch (kind.type) {
    case 'http':
      return URL.canParse(kind.url) ? new URL(kind.url).host : kind.url
    case 'tcp':
    case 'h2ping':
    case 'udp':
      return kind.address
    case 'grpc':
      return splitGrpcTarget(kind.target).address
    case 'script':
      // All of it: what an interpreter runs is in its arguments.
      return `script ${JSON.stringify(kind.args)}`
    case 'docker':
      return `docker ${kind.container}`
  }
}
