import { queryOptions } from "@tanstack/react-query";
import { api, data, type Schemas } from "./client";
import { queryClient } from "./queries";

// Who may do what. The stream of changes does not tell of it, so that each page that is
// opened reads anew.

export type Role = "viewer" | "operator" | "admin";
export type Person = Schemas["Person"];

const anew = { staleTime: 0 };

export const peopleQuery = queryOptions({
  queryKey: ["people"],
  queryFn: ({ signal }) => data(api.GET("/v1/people", { signal })),
  ...anew,
});
export const tokensQuery = queryOptions({
  queryKey: ["tokens"],
  queryFn: ({ signal }) => data(api.GET("/v1/tokens", { signal })),
  ...anew,
});
export const keysQuery = queryOptions({ queryKey: ["keys"], queryFn: ({ signal }) => data(api.GET("/v1/keys", { signal })), ...anew });
export const loginsQuery = queryOptions({
  queryKey: ["logins"],
  queryFn: ({ signal }) => data(api.GET("/v1/me/sessions", { signal })),
  ...anew,
});

const fresh = (key: string) => queryClient.invalidateQueries({ queryKey: [key] });
const path = (id: string) => ({ params: { path: { id } } });

export async function addPerson(name: string, role: Role) {
  const person = await data(api.POST("/v1/people", { body: { name, role } }));
  await fresh("people");
  return person;
}

export async function changePerson(id: string, change: { role?: Role; disabled?: boolean }) {
  await api.PATCH("/v1/people/{id}", { ...path(id), body: change });
  await Promise.all([fresh("people"), fresh("me")]);
}

export async function removePerson(id: string) {
  await api.DELETE("/v1/people/{id}", path(id));
  await Promise.all([fresh("people"), fresh("me")]);
}

/** A link by which somebody sets a password: it is known here, and nowhere else. */
export async function linkPerson(id: string) {
  const link = await data(api.POST("/v1/people/{id}/link", path(id)));
  await fresh("people");
  return { url: `${new URL("welcome", document.baseURI).href}#${link.token}`, until: link.expires_at };
}

export const endLogins = (id: string) => api.DELETE("/v1/people/{id}/sessions", path(id));

export async function endLogin(id: string) {
  await api.DELETE("/v1/me/sessions/{id}", path(id));
  await fresh("logins");
}

export async function endOtherLogins() {
  await api.DELETE("/v1/me/sessions");
  await fresh("logins");
}

export async function changePassword(old: string, next: string) {
  await api.POST("/v1/me/password", { body: { old, new: next } });
  await fresh("logins");
}

/** An area of the API that a token may be for. */
export type Scope = Schemas["Token"]["scopes"][number];

/** Makes a token; one without scopes is for all areas, one without a life ends never. */
export async function addToken(name: string, role: Role, scopes: Scope[], life: string) {
  const token = await data(
    api.POST("/v1/tokens", { body: { name, role, ...(scopes.length ? { scopes } : {}), ...(life ? { life } : {}) } }),
  );
  await fresh("tokens");
  return token;
}

export async function removeToken(id: string) {
  await api.DELETE("/v1/tokens/{id}", path(id));
  await fresh("tokens");
}

export const comeByLink = (token: string, password?: string) =>
  data(api.POST("/v1/welcome", { body: { token, ...(password ? { password } : {}) } }));

const ranks: Role[] = ["viewer", "operator", "admin"];

/** What whoever is logged in lacks for something, in words; "" when they may. */
export function lacks(me: Schemas["Me"] | undefined, need: Role): string {
  if (!me || me.dev || ranks.indexOf(me.role as Role) >= ranks.indexOf(need)) return "";
  return `This needs the role ${need}, and you are ${me.role || "not logged in"}. An admin can change that.`;
}
