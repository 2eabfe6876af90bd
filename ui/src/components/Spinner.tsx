export const Spinner = () => (
  <svg
    viewBox="0 0 20 20"
    className="mt-0.5 size-5 shrink-0 animate-spin text-accent motion-reduce:animate-none"
    aria-hidden="true"
    fill="none"
    strokeWidth="2"
  >
    <circle cx="10" cy="10" r="7.5" className="stroke-line" />
    <path d="M10 2.5a7.5 7.5 0 0 1 7.5 7.5" stroke="currentColor" strokeLinecap="round" />
  </svg>
);
