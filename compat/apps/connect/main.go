// Command connect is connect-go on package lastcall. Its procedure answers with
// what it was sent.
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lastcall/lastcall"
)

func main() {
	const procedure = "/compat.Echo/Say"
	http.Handle(procedure, connect.NewUnaryHandler(procedure, say))
	if err := lastcall.ListenAndServe("127.0.0.1:8080", nil); err != nil {
		log.Fatal(err)
	}
}

// say takes a second for the word "slow".
func say(_ context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
	if r.Msg.GetValue() == "slow" {
		time.Sleep(time.Second)
	}
	return connect.NewResponse(wrapperspb.String(r.Msg.GetValue())), nil
}
