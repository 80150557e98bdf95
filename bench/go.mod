module github.com/lastcall/lastcall/bench

go 1.26.0

require (
	github.com/lastcall/lastcall v0.0.0
	golang.org/x/sys v0.49.0
)

replace github.com/lastcall/lastcall => ../
