/**
 * Text from elsewhere (a host, an off-site, Temporal) made safe for a terminal: control characters, which could move
 * the cursor or rewrite what was shown, become spaces; line breaks stay.
 */
export function plainText(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, ' ');
}
