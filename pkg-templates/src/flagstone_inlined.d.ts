/** `flagstone_bg.wasm`, compressed by gzip, in base64: the bundle grows by what the file takes on the wire. */
declare const text: string;
export default text;
