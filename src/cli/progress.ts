/** One line that is written over, on a terminal; nothing where nobody looks. */
export function progressOn(stream: NodeJS.WriteStream): { show: (text: string) => void; end: () => void } {
  if (!stream.isTTY) return { show: () => undefined, end: () => undefined };
  return {
    show: (text) => void stream.write(`\r\u001b[K${text}`),
    end: () => void stream.write("\r\u001b[K"),
  };
}
