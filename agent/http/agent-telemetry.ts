import { statfs } from 'node:fs/promises'
import { cpus, freemem, hostname, machine, platform, release, totalmem, uptime } from 'node:os'
import type { MetricObjectWithValues, MetricValue, MetricValueWithName } from 'prom-client'
import { Type } from 'typebox'
import type { HttpContext } from './collaborators.ts'
import { firstParam } from './query.ts'
import { sendJson } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query } from './schemas.ts'

const Labels = Type.Record(Type.String(), Type.String())
const Sample = Type.Object({
  Name: Type.String(),
  Count: Type.Number(),
  Rate: Type.Number(),
  Sum: Type.Number(),
  Min: Type.Number(),
  Max: Type.Number(),
  Mean: Type.Number(),
  Stddev: Type.Number(),
  Labels,
})

/** Schema of agent/metrics. */
export const AgentMetricsSchema = Type.Object({
  Timestamp: Type.String(),
  Gauges: Type.Array(Type.Object({ Name: Type.String(), Value: Type.Number(), Labels })),
  Points: Type.Array(Type.Object({})),
  Counters: Type.Array(Sample),
  Samples: Type.Array(Sample),
})

type Metric = MetricObjectWithValues<MetricValue<string>>

/** What the agent measures of itself and of its host: /v1/agent/metrics, host (Consul agent API). */
export function addAgentTelemetryRoutes(routes: RouteTable, context: HttpContext): void {
  const { metrics, config } = context
  routes.add({
    method: 'GET',
    url: '/v1/agent/metrics',
    permission: 'agent:read',
    tag: 'agent',
    summary: 'Metrics since the start of the agent as JSON, or in the text format of Prometheus.',
    query: query({ format: 'prometheus for the text format' }),
    responses: { 200: { description: 'Metrics', json: AgentMetricsSchema }, ...ERRORS },
    handler: async (request, reply) => {
      if (firstParam(request.query, 'format') === 'prometheus') {
        return reply.header('content-type', metrics.contentType).send(await metrics.metrics())
      }
      return sendJson(request, reply, metricsJson(await metrics.getMetricsAsJSON(), new Date()))
    },
  })
  routes.add({
    method: 'GET',
    url: '/v1/agent/host',
    permission: 'operator:read',
    tag: 'agent',
    summary: 'The host of this node: memory, processors, system, and the disk of the data directory.',
    responses: { 200: { description: 'The host', json: Type.Object({}) }, ...ERRORS },
    handler: async (request, reply) => sendJson(request, reply, await hostJson(config.dataDir)),
  })
}

/** Metrics in the shape of Consul's. Histograms become samples without spread: only their number and sum are known. */
export function metricsJson(metrics: readonly unknown[], now: Date) {
  const all = metrics as readonly Metric[]
  const counted = (name: string, count: number, sum: number, labels: object) => ({
    Name: name,
    Count: count,
    Rate: 0,
    Sum: sum,
    Min: 0,
    Max: 0,
    Mean: count === 0 ? 0 : sum / count,
    Stddev: 0,
    Labels: textLabels(labels),
  })
  const of = (type: string) => all.filter((metric) => String(metric.type) === type)
  return {
    Timestamp: `${now.toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`,
    Gauges: of('gauge').flatMap(({ name, values }) =>
      values
        // A number that JSON does not have.
        .filter(({ value }) => Number.isFinite(value))
        .map(({ value, labels }) => ({ Name: name, Value: value, Labels: textLabels(labels) })),
    ),
    Points: [],
    Counters: of('counter').flatMap(({ name, values }) =>
      values.map(({ value, labels }) => ({
        ...counted(name, value, value, labels),
        Mean: value > 0 ? 1 : 0,
      })),
    ),
    Samples: [...of('histogram'), ...of('summary')].flatMap(({ name, values }) => {
      const named = values as readonly MetricValueWithName<string>[]
      const sums = named.filter(({ metricName }) => metricName === `${name}_sum`)
      return sums.map(({ value: sum, labels }) => {
        const same = JSON.stringify(labels)
        const count = named.find(
          (each) => each.metricName === `${name}_count` && JSON.stringify(each.labels) === same,
        )
        return counted(name, count?.value ?? 0, sum, labels)
      })
    }),
  }
}

function textLabels(labels: object): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]))
}

async function hostJson(dataDir: string) {
  const [total, free] = [totalmem(), freemem()]
  const disk = await statfs(dataDir).catch(() => null)
  const bytes = (blocks: number): number => blocks * (disk?.bsize ?? 0)
  const [diskTotal, diskFree] = [bytes(disk?.blocks ?? 0), bytes(disk?.bavail ?? 0)]
  const now = Date.now()
  const seconds = Math.floor(uptime())
  return {
    Memory: {
      total,
      available: free,
      used: total - free,
      usedPercent: percent(total - free, total),
      free,
    },
    CPU: cpus().map(({ model, speed }, cpu) => ({ cpu, modelName: model, mhz: speed, cores: 1 })),
    Host: {
      hostname: hostname(),
      uptime: seconds,
      bootTime: Math.floor(now / 1000) - seconds,
      os: platform(),
      platform: platform(),
      kernelVersion: release(),
      kernelArch: machine(),
    },
    Disk:
      disk === null
        ? null
        : {
            path: dataDir,
            total: diskTotal,
            free: diskFree,
            used: diskTotal - diskFree,
            usedPercent: percent(diskTotal - diskFree, diskTotal),
          },
    CollectionTime: now * 1e6,
    Errors: null,
  }
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : (100 * part) / whole
}
