// Package pawl is for writing durable functions: plain Go that goes on where it
// stopped, however often the process, the machine or another service fails.
//
// A function is made of steps. The result of a step is saved before anything
// depends on it, so that a step that has finished never runs again: when a
// function is called again, after a crash or after a rest, [Run] returns what
// the step returned the first time.
//
//	func deliver(ctx context.Context, f Form) (string, error) {
//		id, err := pawl.Run(ctx, "store", func(ctx context.Context) (string, error) {
//			return store(ctx, f)
//		})
//		if err != nil {
//			return "", err
//		}
//		if err := pawl.Sleep(ctx, "wait a day", 24*time.Hour); err != nil {
//			return "", err
//		}
//		return id, pawl.Do(ctx, "remind", func(ctx context.Context) error { return remind(ctx, id) })
//	}
//
// An [App] is a group of functions. The same app runs in three shapes:
//
//	engine.Open(ctx, "file.db", app)                               // in this process, on one SQLite file
//	pawl.Attach(ctx, "http://localhost:8288", app)                 // on a Pawl server, which calls the app
//	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {…}) // in a test, in virtual time
//
// # Rest
//
// A step that cannot go on now (it sleeps, waits, or is to be tried again later)
// returns [ErrRest]. The function returns that error, as it returns any other,
// and is called again when the time has come. There is no panic, and nothing is
// held in memory meanwhile. What a function returns while a step rests is
// ignored, so that one that forgets to return the error does no harm: its later
// steps return ErrRest as well.
//
// # Names
//
// Steps are known by their names, not by their order: functions may be changed
// while runs of them rest. A name that is used again, as in a loop, stands for
// the first, second, … step of that name. Steps that run at the same time must
// have different names, those of different branches of one [Parallel] among them;
// Pawl finds it when they do not, and says so.
//
// # Side by side
//
// [Parallel] and [Map] run branches side by side, each of which may rest.
// Plain goroutines and errgroup are good for steps too, with one difference:
// all share one context, and when one of them rests no further step begins
// until that rest is over. Where branches sleep or wait, use Parallel.
//
// # Errors
//
// An error of a step is tried again later, until [Retries] are used up. Wrap
// it with [Permanent] when that is useless, with [RetryAfter] when it is known
// when to try. The function gets a [*StepError] once there are no more tries; a
// function that returns it fails for good, which makes it a dead letter for a
// person to see. Any other error that a function returns is tried again.
//
// # What is promised
//
// A step whose result was acknowledged never runs again. Its body runs at least
// once, and again only if a crash or a lost connection hid its result. [Token]
// is the same each time: give it to whoever can tell repetitions apart by it.
// Where nobody can, [Verify] asks first what became of the last try.
package pawl
