/**
 * The numbers of the client that are not options. A module without imports, so that bundlers put them where they are used.
 *
 * @module limits
 */

/* Times are in milliseconds. */

/** The time that messages of a room wait for its other members after a reconnect, at least and at most; see `isWaiting` in the room. */
export const GRACE = 4_000;
export const LONGEST_GRACE = 30_000;
/** The additional grace per time without a connection: delays between attempts double, and the jitter makes some of them short. */
export const GRACE_FACTOR = 4;

/** Maximum number of unconfirmed packets while others are queued: at first, and after many answers. */
export const FIRST_WINDOW = 8;
export const LARGEST_WINDOW = 256;
/** A probe follows at once after this many bytes, or as many packets of this size, and otherwise after this time. */
export const PROBE_BYTES = 2 ** 16;
export const PACKET_BYTES = 2 ** 10;
export const PROBE_DELAY = 1_000;
/** The interval between packets after a close with `rate`: at first, at most, and the time until it halves. */
export const FIRST_PACE = 125;
export const SLOWEST_PACE = 2_000;
export const RELAX_TIME = 60_000;

/** The client acknowledges after this many packets or bytes, and otherwise after this time. */
export const ACK_PACKETS = 64;
export const ACK_BYTES = 2 ** 16;
export const ACK_DELAY = 5_000;

/** The shortest interval between questions on an idle connection: the server closes clients that ask 64 times within a second each. */
export const ASK_INTERVAL = 1_200;

/** The longest delay that setTimeout() can wait. */
export const LONGEST_DELAY = 2e9;
/** The expected minimum throughput of a network, in bytes per second: larger messages get more time. */
export const SLOWEST_NETWORK = 2 ** 16;
/** The time limit of an answer can grow to this, however short the timeout is. */
export const LONGEST_ANSWER = 60_000;
/** A room that cannot be joined with this client. The server answers the request to leave it like any other; see the outbox. */
export const PROBE = "\0probe";
/** Events of the extended protocol: the server's first packet, and the number of packets that the sender of this one has received. */
export const HELLO = "roomer:hello";
export const ACK = "roomer:ack";
/** Answers to requests. */
export const REPLY = "roomer:reply";
export const ERROR = "roomer:error";
/** How the members of a room have changed. */
export const MEMBERS = "roomer:members";
/** The info of this client, which it sets itself. */
export const INFO = "roomer:info";
/** In a room that remembers, the number of a message that this client has sent, and does not get itself. */
export const NUMBER = "roomer:number";
/** The server asks for a new token, and the client sends it. */
export const EXPIRING = "roomer:expiring";
export const TOKEN = "roomer:token";
/** The room into which the server puts every client. */
export const ROOT = "root";
