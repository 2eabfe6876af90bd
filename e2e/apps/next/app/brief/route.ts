export { handler as GET } from "../../lib/brief";
