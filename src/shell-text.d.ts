/** The scripts in `src/sh` are bundled as text. */
declare module '*.sh' {
  const text: string;
  export default text;
}
