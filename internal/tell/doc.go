// Package tell brings what people have to know to them: to a webhook, or by mail. When
// and of what they are told is the engine's; its Poster is what this package has.
package tell
