/** Client constants that are not options. This module has no imports, so bundlers can inline the constants.
 *
 * @module limits
 */

/* Times are in milliseconds. */

/**
 * The minimum time after a reconnect for which a room's messages wait for other members; see `isWaiting` in the room. By default,
 * a server that shuts down spreads its clients' reconnects over 10 s.
 */
export const GRACE = 12_000;
/** The maximum time for which a room's messages wait for other members. */
export const LONGEST_GRACE = 30_000;
/**
 * The waiting time grows by the time without a connection, multiplied by this factor. Delays between attempts double, and jitter
 * makes some of them short.
 */
export const GRACE_FACTOR = 4;

/** The initial limit on unconfirmed packets. Further packets are queued. */
export const FIRST_WINDOW = 8;
/** The maximum that the limit on unconfirmed packets can grow to. */
export const LARGEST_WINDOW = 256;
/** A probe is sent immediately after this many bytes; a packet counts as at least PACKET_BYTES. */
export const PROBE_BYTES = 2 ** 16;
/** The number of bytes that a smaller packet counts for in PROBE_BYTES. */
export const PACKET_BYTES = 2 ** 10;
/** The maximum number of packets from one probe to the next, which follows from the two limits above. */
export const MOST_UNPROBED = 64;
/** The delay before a probe if fewer bytes than PROBE_BYTES have been sent. */
export const PROBE_DELAY = 1_000;
/** The initial interval between packets after the server has closed a connection with `rate`. */
export const FIRST_PACE = 125;
/** The maximum interval between packets after repeated closes with `rate`. */
export const SLOWEST_PACE = 2_000;
/** The time for which the client sends at an interval before it halves the interval. */
export const RELAX_TIME = 60_000;

/** The client sends an acknowledgement after this many packets. */
export const ACK_PACKETS = 64;
/** The client sends an acknowledgement after this many bytes. */
export const ACK_BYTES = 2 ** 16;
/** The delay before an acknowledgement if neither ACK_PACKETS nor ACK_BYTES is reached. */
export const ACK_DELAY = 5_000;

/**
 * The minimum interval between probes on an idle connection. A server closes the connection of a client that sends 64 probes at
 * intervals below a second.
 */
export const ASK_INTERVAL = 1_200;

/** The longest delay that setTimeout() supports. */
export const LONGEST_DELAY = 2e9;
/** The minimum expected network throughput, in bytes per second. Larger messages get more time for their answer. */
export const SLOWEST_NETWORK = 2 ** 16;
/** The limit to which the answer timeout can grow, however short the `timeout` option is. */
export const LONGEST_ANSWER = 60_000;
/** The name of a room that this client cannot join. The server answers a request to leave it like any other; see the outbox. */
export const PROBE = "\0probe";
/** The event of the server's first packet in the extended protocol. */
export const HELLO = "roomer:hello";
/** The event of an acknowledgement. Its payload is the number of packets received so far. */
export const ACK = "roomer:ack";
/** The event that carries the answer to a successful request. */
export const REPLY = "roomer:reply";
/** The maximum number of unanswered requests of each kind, until the server has announced its limit. */
export const MOST_REQUESTS = 64;
/** The event that reports an error. */
export const ERROR = "roomer:error";
/** The event that reports changes in a room's membership. */
export const MEMBERS = "roomer:members";
/** The event that sets this client's own info. */
export const INFO = "roomer:info";
/** The burst in which this client may set its info, one less than the server's. In addition, both permit one change per second. */
export const MOST_CHANGES = 15;
/** The longest time in seconds until the client repeats an info that the server has rejected as `busy`. */
export const LONGEST_PAUSE = 30;
/** The burst of joins that may request past messages. In addition, the server permits one per second. */
export const MOST_RECALLS = 16;
/** In a room with a history, the event that tells this client the number of its own message. */
export const NUMBER = "roomer:number";
/** The event that requests a new token from the client. */
export const EXPIRING = "roomer:expiring";
/** The minimum time between two renewals of a login. */
export const RENEWAL_PAUSE = 2_000;
/** The event that carries the client's new token. */
export const TOKEN = "roomer:token";
/** The room that every client joins automatically. */
export const ROOT = "root";
