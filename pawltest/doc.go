// Package pawltest runs durable functions in tests: without a server, in virtual
// time, on the engine that runs them in production.
//
//	func TestReminder(t *testing.T) {
//		pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
//			run := pawltest.Start(p, remind, Order{ID: "o1"})
//			p.Advance(30 * 24 * time.Hour)
//			out, err := run.Result()
//			...
//		})
//	}
//
// [Pawl.Ask] asks an endpoint, as its client does.
//
// Time is that of [testing/synctest]: it stands still while anything runs, and
// jumps when everything waits. A month of sleep takes milliseconds, and a test
// never waits for something to happen: [Pawl.Settle] returns when all that can
// happen now has happened. There is no second engine that would have to behave
// like the first: the runs are kept in a SQLite file, and restarts and crashes
// read what is really on disk.
//
// What a test uses inside must be of its own making: a goroutine that waits for
// a network connection stops the clock. Replace what reaches out, by [Pawl.Mock]
// or by a fake. Tests may run in parallel and under the race detector.
package pawltest
