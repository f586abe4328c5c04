/**
 * Constants of the client that are not options. This module has no imports, so that bundlers can inline the constants.
 *
 * @module limits
 */

/* Times are in milliseconds. */

/**
 * The minimum and maximum time for which a room's messages wait for other members after a reconnect; see `isWaiting` in the room.
 * A server that shuts down spreads the returns of its clients over 10 s, unless it is configured otherwise.
 */
export const GRACE = 12_000;
export const LONGEST_GRACE = 30_000;
/**
 * The additional waiting time per time without a connection. The delays between attempts double, and jitter makes some of them
 * short.
 */
export const GRACE_FACTOR = 4;

/** The number of unconfirmed packets above which further ones are queued: initially, and after many answers. */
export const FIRST_WINDOW = 8;
export const LARGEST_WINDOW = 256;
/** A probe is sent immediately after this many bytes, or the same number in packets of this size, and otherwise after a delay. */
export const PROBE_BYTES = 2 ** 16;
export const PACKET_BYTES = 2 ** 10;
export const PROBE_DELAY = 1_000;
/** The interval between packets after a close with `rate`: its initial and maximum value, and the time until it halves. */
export const FIRST_PACE = 125;
export const SLOWEST_PACE = 2_000;
export const RELAX_TIME = 60_000;

/** The client acknowledges after this many packets or bytes, and otherwise after this time. */
export const ACK_PACKETS = 64;
export const ACK_BYTES = 2 ** 16;
export const ACK_DELAY = 5_000;

/**
 * The minimum interval between questions on an idle connection: the server closes clients that ask 64 times at intervals below a
 * second.
 */
export const ASK_INTERVAL = 1_200;

/** The longest delay that setTimeout() supports. */
export const LONGEST_DELAY = 2e9;
/** The minimum throughput that is expected of a network, in bytes per second: larger messages get more time. */
export const SLOWEST_NETWORK = 2 ** 16;
/** The maximum to which the timeout of an answer grows, however short the option `timeout` is. */
export const LONGEST_ANSWER = 60_000;
/** The name of a room that this client cannot join. The server answers a leave of it like any other; see the outbox. */
export const PROBE = "\0probe";
/** Events of the extended protocol: the server's first packet, and an acknowledgement with a number of received packets. */
export const HELLO = "roomer:hello";
export const ACK = "roomer:ack";
/** The events of answers to requests: a result, and an error. */
export const REPLY = "roomer:reply";
export const ERROR = "roomer:error";
/** The event of changes in a room's membership. */
export const MEMBERS = "roomer:members";
/** The event with which this client sets its own info. */
export const INFO = "roomer:info";
/** In a room with a history, the event that reports the number of this client's own message to it. */
export const NUMBER = "roomer:number";
/** The event with which the server requests a new token, and the event with which the client sends it. */
export const EXPIRING = "roomer:expiring";
export const TOKEN = "roomer:token";
/** The room into which the server puts every client. */
export const ROOT = "root";
