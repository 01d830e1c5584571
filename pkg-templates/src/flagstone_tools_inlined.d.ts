/** `flagstone_tools.wasm`, compressed by gzip, in base64. */
declare const text: string;
export default text;
