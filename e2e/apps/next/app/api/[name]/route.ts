import { table } from "../../../lib/endpoints";

async function route(req: Request, { params }: { params: Promise<{ name: string }> }): Promise<Response> {
  const endpoint = table.get((await params).name);
  return endpoint ? endpoint(req) : new Response(null, { status: 404 });
}

export { route as GET, route as POST, route as PUT };
