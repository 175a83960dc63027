// The control token travels in the URL's fragment, which browsers never send to a server and never put into a Referer.
// It leaves the address bar (and with it the history and any screenshot) before anything else happens.

const KEY = "dialback.token";

/** Take a token out of the fragment, if one is there, into this tab's session storage. */
export function takeFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return false;
  history.replaceState(null, "", location.pathname + location.search);
  if (token) sessionStorage.setItem(KEY, token);
  return Boolean(token);
}

export const current = () => sessionStorage.getItem(KEY);
export const keep = (token) => sessionStorage.setItem(KEY, token);
export const forget = () => sessionStorage.removeItem(KEY);
