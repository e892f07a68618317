// Names of what is internal to sockets and servers.

/** On the prototypes: the `NetContext` a socket or server belongs to. */
export const kNet = Symbol('usernet.net');
export const kHandle = Symbol('usernet.handle');
export const kTimeout = Symbol('usernet.timeout');
export const kLastWriteQueueSize = Symbol('usernet.lastWriteQueueSize');
export const kBuffer = Symbol('usernet.buffer');
export const kBufferCallback = Symbol('usernet.bufferCallback');
export const kBufferGenerator = Symbol('usernet.bufferGenerator');
export const kBytesRead = Symbol('usernet.bytesRead');
export const kBytesWritten = Symbol('usernet.bytesWritten');
export const kNoDelay = Symbol('usernet.noDelay');
export const kKeepAlive = Symbol('usernet.keepAlive');
export const kKeepAliveProbes = Symbol('usernet.keepAliveProbes');
export const kKeepAliveInitialDelay = Symbol('usernet.keepAliveInitialDelay');
export const kCongestion = Symbol('usernet.congestion');
export const kUserTimeout = Symbol('usernet.userTimeout');
export const kTypeOfService = Symbol('usernet.typeOfService');
/** Of a socket: whether it asks for Fast Open. Of a server: how many connections may use it at a time. */
export const kFastOpen = Symbol('usernet.fastOpen');
/** A write that goes as soon as the connection has begun. */
export const kEarlyWrite = Symbol('usernet.earlyWrite');
export const kBlockList = Symbol('usernet.blockList');
export const kReplaceHandle = Symbol('usernet.replaceHandle');
export const kAfterConnect = Symbol('usernet.afterConnect');
/** Marks our sockets, also those of another copy of this package. */
export const kUsernetSocket = Symbol.for('usernet.socket');
