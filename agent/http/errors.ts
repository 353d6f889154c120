/** Stable codes of the errors the HTTP interface raises itself. A code is never reused for another meaning. */
export type HttpErrorCode =
  | 'HTTP_BAD_REQUEST'
  | 'HTTP_ACL_DISABLED'
  | 'HTTP_FORBIDDEN'
  | 'HTTP_NOT_FOUND'
  | 'HTTP_METHOD_NOT_ALLOWED'
  | 'HTTP_TOO_LARGE'
  | 'HTTP_TOO_MANY_WAITING'
  | 'HTTP_REFUSED'
  | 'HTTP_INTERNAL'
  | 'HTTP_UNAVAILABLE'

/** A refusal with the status and the text the client gets to see. */
export class HttpError extends Error {
  readonly code: HttpErrorCode
  readonly statusCode: number

  constructor(code: HttpErrorCode, statusCode: number, message: string) {
    super(message)
    this.name = 'HttpError'
    this.code = code
    this.statusCode = statusCode
  }
}

/** 400 with this text. */
export function badRequest(message: string): HttpError {
  return new HttpError('HTTP_BAD_REQUEST', 400, message)
}

/** 404 with this text. */
export function notFound(message: string): HttpError {
  return new HttpError('HTTP_NOT_FOUND', 404, message)
}

/** 500 with this text: in Consul's dialect also the answer to a write that was refused as invalid. */
export function refused(message: string): HttpError {
  return new HttpError('HTTP_REFUSED', 500, message)
}

/** The client closed its connection while its request waited: nobody is left to answer. */
export class ClientGoneError extends Error {
  readonly code = 'HTTP_CLIENT_GONE'

  constructor() {
    super('the client closed the connection')
    this.name = 'ClientGoneError'
  }
}
