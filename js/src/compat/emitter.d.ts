export type Listener = (...args: any[]) => void;

/** The methods that `emitter()` adds to its target. Arguments of the wrong type are ignored. */
export interface Emitter {
    /** Appends a listener, after emitting "newListener"(type, listener). */
    addListener(type: string, listener: Listener): this;
    on(type: string, listener: Listener): this;
    /** Appends a listener that is removed before its only call. */
    once(type: string, listener: Listener): this;
    /** Removes the listener; emits "removeListener"(type, listener) afterwards. */
    removeListener(type: string, listener: Listener): this;
    off(type: string, listener: Listener): this;
    /** Removes all listeners for one event, or for all events. */
    removeAllListeners(type?: string): this;
    /** Calls the event's listeners in order. Returns true if there were any. An exception stops the calls and propagates. */
    emit(type: string, ...args: any[]): boolean;
    listeners(type?: string): Listener[];
}

/** Returns a frozen copy of an object with an event emitter's methods. */
declare function emitter<T extends object>(target?: T): Readonly<T & Emitter>;
export default emitter;
