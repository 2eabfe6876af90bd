// A page that books a trip and waits for what becomes of it, however long that takes.
const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Trips</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
  label, input { display: block; width: 100%; box-sizing: border-box; font: inherit; }
  input { padding: .5rem; margin-bottom: 1rem; }
</style>
<h1>Book a trip</h1>
<form>
  <label>Who <input name="traveller" required value="Ada"></label>
  <label>Where to <input name="to" required value="Lisbon"></label>
  <label>Nights <input name="nights" type="number" min="1" required value="3"></label>
  <label>Price (above 1000 somebody has to approve) <input name="price" type="number" min="1" required value="800"></label>
  <button>Book</button>
</form>
<p role="status"></p>
<script>
const form = document.querySelector("form"), status = document.querySelector("[role=status]");
form.addEventListener("submit", async (e) => {
  e.preventDefault();
  const trip = Object.fromEntries(new FormData(form));
  trip.nights = Number(trip.nights);
  trip.price = Number(trip.price);
  status.textContent = "Booking…";
  try {
    // The answer comes in this request. If something has to be waited for, the browser
    // is sent to where the result will be: then it is a text with JSON in it.
    const res = await fetch("/book", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(trip) });
    let got = await res.json();
    if (typeof got === "string") got = JSON.parse(got);
    status.textContent = got.booked ? "Booked: " + got.id : "Not booked: " + (got.reason ?? got.errors?.join(", ") ?? got.error?.message);
  } catch (err) {
    status.textContent = "The connection broke (" + err.message + "). The booking goes on all the same.";
  }
});
</script>
</html>
`;

export function page(_, res) {
  res.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  res.end(html);
}
