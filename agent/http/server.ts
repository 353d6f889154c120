import { fastifySwagger } from '@fastify/swagger'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { type FastifyInstance, fastify, LogController } from 'fastify'
import { Counter, type Registry } from 'prom-client'
import type { Config } from '../config/types.ts'
import { addAccessControlRoutes } from './access-control.ts'
import { addAgentCheckRoutes } from './agent-checks.ts'
import { addAgentHealthRoutes } from './agent-health.ts'
import { addAgentMonitorRoutes } from './agent-monitor.ts'
import { addAgentNodeRoutes } from './agent-node.ts'
import { addAgentServiceRoutes } from './agent-services.ts'
import { addAgentTelemetryRoutes } from './agent-telemetry.ts'
import { addApiRoutes } from './api.ts'
import { addAutopilotRoutes } from './autopilot.ts'
import { ParkingLot } from './blocking.ts'
import { hasBody, installBodyReader } from './body.ts'
import { addCatalogRoutes } from './catalog.ts'
import { addDeclarationRoutes } from './catalog-declarations.ts'
import { addClusterEventRoutes } from './cluster-events.ts'
import type { HttpCollaborators, HttpContext } from './collaborators.ts'
import { Connections, requireHost } from './connections.ts'
import { installConsulParams } from './consul-params.ts'
import { ConsulCatalog } from './consul-service.ts'
import { addCoordinateRoutes } from './coordinate.ts'
import { addDockerRoutes } from './docker.ts'
import { addEventRoutes } from './events.ts'
import { installFailureReplies, sendFailure } from './failure-replies.ts'
import { addForceLeaveRoute } from './force-leave.ts'
import { addHealthRoutes } from './health.ts'
import { addJoinRoute } from './join.ts'
import { addKeyringRoutes } from './keyring.ts'
import { addKvRoutes } from './kv.ts'
import { addKvWatchRoutes } from './kv-watch.ts'
import { closeLingering } from './lingering-close.ts'
import { addMaintenanceRoutes } from './maintenance.ts'
import { addOperatorRoutes } from './operator.ts'
import { addOpsRoutes } from './ops.ts'
import { allowAll, enforcePermissions } from './permissions.ts'
import { routableUrl } from './raw-path.ts'
import { RouteTable } from './routes.ts'
import { addServiceMeshRoutes } from './service-mesh.ts'
import { addSessionRoutes } from './session.ts'
import { SHARED_RENDERS, SharedRenders } from './shared-renders.ts'
import { addSnapshotRoutes } from './snapshot.ts'
import { addStatusRoutes } from './status.ts'
import { addTransactionRoutes } from './txn.ts'
import { addUsageRoutes } from './usage.ts'

/** Bounds of the server; every one has a default. */
export interface HttpLimits {
  /** Time to send the headers of a request. Default 10 s. */
  readonly headersTimeoutMs: number
  /** Time to send a whole request. Says nothing about how long its answer may take. Default 60 s. */
  readonly requestTimeoutMs: number
  /** How often requests that are late are looked for. Default 2 s. */
  readonly checkIntervalMs: number
  /** How long an idle connection is kept: longer than the pools of clients keep theirs. Default 150 s. */
  readonly keepAliveTimeoutMs: number
  /** Blocking queries that may wait at once. Default 20,000. */
  readonly parkedMax: number
}

/** Settings of the HTTP interface. `random` is uniform in [0, 1) and spreads the deadlines of blocking queries. */
export interface HttpOptions {
  readonly config: Config
  readonly version: string
  readonly limits?: Partial<HttpLimits>
  readonly random?: () => number
}

const DEFAULT_LIMITS: HttpLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  checkIntervalMs: 2_000,
  keepAliveTimeoutMs: 150_000,
  parkedMax: 20_000,
}

/** Path and headers of a request. Keys and tokens are in there, and some are long. */
const HEADER_BYTES_MAX = 64 * 1024
/** Longest text `*` may stand for; the limit above comes first. */
const PARAM_LENGTH_MAX = 64 * 1024

/**
 * Builds the HTTP interface; the caller listens and closes. Closing answers every blocking query at once.
 * @throws Error if a route names no permission. The same error comes from `route` for routes added later.
 */
export function buildHttpServer(options: HttpOptions, collaborators: HttpCollaborators): FastifyInstance {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const connections = new Connections()
  const app: FastifyInstance = fastify({
    logger: false,
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    http: {
      headersTimeout: limits.headersTimeoutMs,
      maxHeaderSize: HEADER_BYTES_MAX,
      connectionsCheckingInterval: limits.checkIntervalMs,
      // Node's own refusal has no text; see `requireHost`.
      requireHostHeader: false,
    },
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    rewriteUrl: (request) => routableUrl(request.url ?? '/'),
    clientErrorHandler: (error, socket) => connections.failed(error, socket),
    frameworkErrors: (error, request, reply) => {
      // The URL could not be decoded; no route and no hook has seen it.
      sendFailure(request as never, reply as never, {
        status: error.statusCode ?? 400,
        text: 'the path is not a valid URL',
        code: 'HTTP_BAD_REQUEST',
      })
    },
  })
  connections.follow(app.server)
  const parking = new ParkingLot(
    { parkedMax: limits.parkedMax, random: options.random ?? Math.random },
    collaborators,
  )
  const renders = new SharedRenders({ ...SHARED_RENDERS, now: () => performance.now() })
  const { config, version } = options
  const context: HttpContext = { ...collaborators, config, version, parking, renders }
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  // The shapes are ours and tested against their schemas; a serializer made from the schema would drop what it does not name.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  installFailureReplies(app, collaborators.log)
  app.addHook('onRequest', async ({ raw }, reply) => requireHost(raw, reply))
  installClosing(app, parking)
  installMetrics(app, collaborators.metrics)
  installBodyReader(app)
  enforcePermissions(app, collaborators.authorizer ?? allowAll)
  installConsulParams(app)
  installDescription(app, options.version)
  addRoutes(app, context)
  return app
}

function addRoutes(app: FastifyInstance, context: HttpContext): void {
  const routes = new RouteTable(app)
  addKvRoutes(routes, context)
  addSessionRoutes(routes, context)
  addTransactionRoutes(routes, context)
  addAgentNodeRoutes(routes, context)
  addForceLeaveRoute(routes, context)
  addJoinRoute(routes, context)
  addAgentServiceRoutes(routes, context)
  addAgentCheckRoutes(routes, context)
  addAgentHealthRoutes(routes, context)
  addMaintenanceRoutes(routes, context)
  addAgentTelemetryRoutes(routes, context)
  addAgentMonitorRoutes(routes, context)
  addAccessControlRoutes(routes)
  const shown = { ...context, catalog: new ConsulCatalog(context.catalog, context.membership) }
  addCatalogRoutes(routes, shown)
  addDeclarationRoutes(routes, context)
  addHealthRoutes(routes, shown)
  addServiceMeshRoutes(routes, shown)
  addStatusRoutes(routes, context)
  addCoordinateRoutes(routes, context)
  addEventRoutes(routes, context)
  addOperatorRoutes(routes, context)
  addAutopilotRoutes(routes, context)
  addKeyringRoutes(routes, context)
  addUsageRoutes(routes, context)
  addDockerRoutes(routes, context)
  addSnapshotRoutes(routes, context)
  addApiRoutes(routes, context)
  addKvWatchRoutes(routes, context)
  addClusterEventRoutes(routes, context)
  addOpsRoutes(routes, context, () => app.swagger() as unknown as Record<string, unknown>)
  routes.close()
}

/** Ends blocking queries before the server stops, and makes every connection end with the answer it waits for. */
function installClosing(app: FastifyInstance, parking: ParkingLot): void {
  app.addHook('preClose', async () => parking.close())
  app.addHook('onSend', async (request, reply) => {
    // An answer that comes before the body was read: the rest of the body is not worth reading.
    const unread = hasBody(request) && request.raw.complete === false
    if (parking.closed || unread) reply.header('connection', 'close')
    if (unread) closeLingering(request.raw.socket)
  })
}

function installMetrics(app: FastifyInstance, metrics: Registry): void {
  const name = 'constellation_http_requests_total'
  const registered = metrics.getSingleMetric(name)
  const requests =
    registered instanceof Counter
      ? registered
      : new Counter({
          name,
          help: 'Answered HTTP requests by route, method and status.',
          labelNames: ['route', 'method', 'status'],
          registers: [metrics],
        })
  app.addHook('onResponse', async (request, reply) => {
    // The pattern of the route, never the path: keys would make a series each.
    const route = request.routeOptions.url ?? 'unknown'
    requests.inc({ route, method: request.method, status: String(reply.statusCode) })
  })
}

function installDescription(app: FastifyInstance, version: string): void {
  // Called, not registered: a registered plugin sees no route that is added before the server starts.
  fastifySwagger(
    app,
    {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Constellation agent',
          version,
          description: '/v1 speaks the HTTP API of Consul; /api/v1 is our own.',
        },
      },
      transform: ({ schema, url, route }) => {
        const { permission, permissionsByBody, wildcard } = route.config ?? {}
        const needed = {
          'x-permission': permission,
          ...(permissionsByBody === undefined ? {} : { 'x-permissions-by-body': permissionsByBody }),
        }
        return {
          schema: { ...schema, ...needed } as typeof schema,
          url: wildcard === undefined ? url : url.replace('*', `:${wildcard}`),
        }
      },
    },
    (error) => {
      if (error) throw error
    },
  )
}
