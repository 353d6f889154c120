import {
  any,
  bool,
  duration,
  int,
  labelOnly,
  list,
  map,
  orEmpty,
  type StructSchema,
  since,
  str,
  strs,
  struct,
} from './schema-node.ts'

/** Newest Traefik release the table describes. */
export const NEWEST_RELEASE = '3.7'

const empty = orEmpty(struct({}))
const certificates = list(struct({ certFile: str, keyFile: str }))
const domains = list(struct({ main: str, sans: strs }))
const spiffe = orEmpty(struct({ ids: strs, trustDomain: str }))

const cookie = orEmpty(
  struct({
    name: str,
    secure: bool,
    httpOnly: bool,
    sameSite: str,
    maxAge: int,
    path: since('3.3', str),
    domain: since('3.4', str),
  }),
)
const sticky = struct({ cookie })

const weighted = list(struct({ name: str, weight: int }))

const loadBalancer = struct({
  servers: list(
    struct({
      url: str,
      weight: int,
      preservePath: since('3.2', bool),
      port: labelOnly(str),
      scheme: labelOnly(str),
    }),
    'server',
  ),
  strategy: since('3.4', str),
  sticky: orEmpty(sticky),
  healthCheck: struct({
    path: str,
    scheme: str,
    mode: str,
    method: str,
    status: int,
    port: int,
    interval: duration,
    unhealthyInterval: since('3.5', duration),
    timeout: duration,
    hostname: str,
    followRedirects: bool,
    headers: map(str),
  }),
  passiveHealthCheck: since('3.6', struct({ failureWindow: duration, maxFailedAttempts: int })),
  passHostHeader: bool,
  responseForwarding: struct({ flushInterval: duration }),
  serversTransport: str,
})

const httpService = struct({
  loadBalancer,
  weighted: struct({ services: weighted, sticky, healthCheck: empty }),
  highestRandomWeight: since('3.6', struct({ services: weighted, healthCheck: empty })),
  mirroring: struct({
    service: str,
    mirrorBody: since('3.2', bool),
    maxBodySize: int,
    mirrors: list(struct({ name: str, percent: int })),
    healthCheck: empty,
  }),
  failover: struct({
    service: str,
    fallback: str,
    healthCheck: empty,
    errors: since('3.7', struct({ status: strs, maxRequestBodyBytes: int })),
  }),
  middlewares: since('3.7', strs),
})

const httpRouter = struct({
  entryPoints: strs,
  middlewares: strs,
  service: str,
  rule: str,
  ruleSyntax: str,
  priority: int,
  parentRefs: since('3.6', strs),
  tls: orEmpty(struct({ options: str, certResolver: str, domains })),
  observability: since(
    '3.3',
    struct({ accessLogs: bool, metrics: bool, tracing: bool, traceVerbosity: since('3.5', str) }),
  ),
})

const ipStrategy = struct({ depth: int, excludedIPs: strs, ipv6Subnet: since('3.2', int) })
const sourceCriterion = struct({ ipStrategy, requestHeaderName: str, requestHost: bool })
const clientTls = struct({ ca: str, cert: str, key: str, insecureSkipVerify: bool, caOptional: bool })
const distinguishedName = {
  country: bool,
  province: bool,
  locality: bool,
  organization: bool,
  commonName: bool,
  serialNumber: bool,
  domainComponent: bool,
}

const headers = struct({
  customRequestHeaders: map(str),
  customResponseHeaders: map(str),
  accessControlAllowCredentials: bool,
  accessControlAllowHeaders: strs,
  accessControlAllowMethods: strs,
  accessControlAllowOriginList: strs,
  accessControlAllowOriginListRegex: strs,
  accessControlExposeHeaders: strs,
  accessControlMaxAge: int,
  addVaryHeader: bool,
  allowedHosts: strs,
  hostsProxyHeaders: strs,
  sslProxyHeaders: map(str),
  stsSeconds: int,
  stsIncludeSubdomains: bool,
  stsPreload: bool,
  forceSTSHeader: bool,
  frameDeny: bool,
  customFrameOptionsValue: str,
  contentTypeNosniff: bool,
  browserXssFilter: bool,
  customBrowserXSSValue: str,
  contentSecurityPolicy: str,
  contentSecurityPolicyReportOnly: since('3.1', str),
  publicKey: str,
  referrerPolicy: str,
  permissionsPolicy: str,
  isDevelopment: bool,
})

const httpMiddleware = struct({
  addPrefix: struct({ prefix: str }),
  stripPrefix: struct({ prefixes: strs }),
  stripPrefixRegex: struct({ regex: strs }),
  replacePath: struct({ path: str }),
  replacePathRegex: struct({ regex: str, replacement: str }),
  chain: struct({ middlewares: strs }),
  ipAllowList: struct({ sourceRange: strs, ipStrategy: orEmpty(ipStrategy), rejectStatusCode: int }),
  ipWhiteList: struct({ sourceRange: strs, ipStrategy: orEmpty(ipStrategy) }),
  headers,
  encodedCharacters: since(
    '3.7',
    struct({
      allowEncodedSlash: bool,
      allowEncodedBackSlash: bool,
      allowEncodedNullCharacter: bool,
      allowEncodedSemicolon: bool,
      allowEncodedPercent: bool,
      allowEncodedQuestionMark: bool,
      allowEncodedHash: bool,
    }),
  ),
  errors: struct({ status: strs, statusRewrites: since('3.4', map(int)), service: str, query: str }),
  rateLimit: struct({
    average: int,
    period: duration,
    burst: int,
    sourceCriterion,
    redis: since(
      '3.4',
      struct({
        endpoints: strs,
        tls: clientTls,
        username: str,
        password: str,
        db: int,
        poolSize: int,
        minIdleConns: int,
        maxActiveConns: int,
        readTimeout: duration,
        writeTimeout: duration,
        dialTimeout: duration,
      }),
    ),
  }),
  redirectRegex: struct({ regex: str, replacement: str, permanent: bool }),
  redirectScheme: struct({ scheme: str, port: str, permanent: bool }),
  basicAuth: struct({ users: strs, usersFile: str, realm: str, removeHeader: bool, headerField: str }),
  digestAuth: struct({ users: strs, usersFile: str, realm: str, removeHeader: bool, headerField: str }),
  forwardAuth: struct({
    address: str,
    tls: clientTls,
    trustForwardHeader: bool,
    authResponseHeaders: strs,
    authResponseHeadersRegex: str,
    authRequestHeaders: strs,
    addAuthCookiesToResponse: strs,
    headerField: str,
    forwardBody: since('3.3', bool),
    maxBodySize: since('3.3', int),
    preserveLocationHeader: since('3.3', bool),
    preserveRequestMethod: since('3.3', bool),
  }),
  inFlightReq: struct({ amount: int, sourceCriterion }),
  buffering: struct({
    maxRequestBodyBytes: int,
    memRequestBodyBytes: int,
    maxResponseBodyBytes: int,
    memResponseBodyBytes: int,
    retryExpression: str,
  }),
  circuitBreaker: struct({
    expression: str,
    checkPeriod: duration,
    fallbackDuration: duration,
    recoveryDuration: duration,
    responseCode: int,
  }),
  compress: orEmpty(
    struct({
      excludedContentTypes: strs,
      includedContentTypes: strs,
      minResponseBodyBytes: int,
      encodings: since('3.2', strs),
      defaultEncoding: since('3.1', str),
    }),
  ),
  passTLSClientCert: struct({
    pem: bool,
    info: struct({
      notAfter: bool,
      notBefore: bool,
      sans: bool,
      serialNumber: bool,
      subject: struct({ ...distinguishedName, organizationalUnit: bool }),
      issuer: struct(distinguishedName),
    }),
  }),
  retry: struct({
    attempts: int,
    initialInterval: duration,
    timeout: since('3.7', duration),
    maxRequestBodyBytes: since('3.7', int),
    status: since('3.7', strs),
    disableRetryOnNetworkError: since('3.7', bool),
    retryNonIdempotentMethod: since('3.7', bool),
  }),
  contentType: orEmpty(struct({ autoDetect: bool })),
  grpcWeb: struct({ allowOrigins: strs }),
  plugin: map(any),
})

const httpTransport = struct({
  serverName: str,
  insecureSkipVerify: bool,
  rootCAs: strs,
  certificates,
  cipherSuites: since('3.7', strs),
  minVersion: since('3.7', str),
  maxVersion: since('3.7', str),
  maxIdleConnsPerHost: int,
  forwardingTimeouts: struct({
    dialTimeout: duration,
    responseHeaderTimeout: duration,
    idleConnTimeout: duration,
    readIdleTimeout: duration,
    pingTimeout: duration,
  }),
  disableHTTP2: bool,
  peerCertURI: str,
  spiffe,
})

const proxyProtocol = orEmpty(struct({ version: int }))

const tcp = struct({
  routers: map(
    struct({
      entryPoints: strs,
      middlewares: strs,
      service: str,
      rule: str,
      ruleSyntax: str,
      priority: int,
      tls: orEmpty(struct({ passthrough: bool, options: str, certResolver: str, domains })),
    }),
  ),
  services: map(
    struct({
      loadBalancer: struct({
        servers: list(struct({ address: str, tls: bool, port: labelOnly(str) }), 'server'),
        serversTransport: str,
        healthCheck: since(
          '3.6',
          orEmpty(
            struct({
              port: int,
              send: str,
              expect: str,
              interval: duration,
              unhealthyInterval: duration,
              timeout: duration,
            }),
          ),
        ),
        terminationDelay: int,
        proxyProtocol,
      }),
      weighted: struct({ services: weighted, healthCheck: since('3.6', empty) }),
    }),
  ),
  middlewares: map(
    struct({
      inFlightConn: struct({ amount: int }),
      ipAllowList: struct({ sourceRange: strs }),
      ipWhiteList: struct({ sourceRange: strs }),
    }),
  ),
  serversTransports: map(
    struct({
      dialKeepAlive: duration,
      dialTimeout: duration,
      terminationDelay: duration,
      proxyProtocol: since('3.6', proxyProtocol),
      tls: orEmpty(
        struct({
          serverName: str,
          insecureSkipVerify: bool,
          rootCAs: strs,
          certificates,
          peerCertURI: str,
          spiffe,
        }),
      ),
    }),
  ),
})

const udp = struct({
  routers: map(struct({ entryPoints: strs, service: str })),
  services: map(
    struct({
      loadBalancer: struct({ servers: list(struct({ address: str, port: labelOnly(str) }), 'server') }),
      weighted: struct({ services: weighted }),
    }),
  ),
})

const tls = struct({
  certificates: list(struct({ certFile: str, keyFile: str, stores: strs })),
  options: map(
    struct({
      minVersion: str,
      maxVersion: str,
      cipherSuites: strs,
      curvePreferences: strs,
      clientAuth: struct({ caFiles: strs, clientAuthType: str }),
      sniStrict: bool,
      alpnProtocols: strs,
      disableSessionTickets: since('3.4', bool),
    }),
  ),
  stores: map(
    struct({
      defaultCertificate: struct({ certFile: str, keyFile: str }),
      defaultGeneratedCert: struct({ resolver: str, domain: struct({ main: str, sans: strs }) }),
    }),
  ),
})

/** The fields, types and first releases of Traefik's dynamic configuration (`pkg/config/dynamic`, v3.0 to v3.7). */
export const dynamicConfiguration: StructSchema = struct({
  http: struct({
    routers: map(httpRouter),
    services: map(httpService),
    middlewares: map(httpMiddleware),
    serversTransports: map(httpTransport),
  }),
  tcp,
  udp,
  tls,
})
