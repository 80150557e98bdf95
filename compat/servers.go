package main

// servers are the rows of the page, in its order.
func servers() []server {
	var all []server
	all = append(all, python()...)
	all = append(all, ruby()...)
	all = append(all, node()...)
	all = append(all, proxies()...)
	all = append(all, golang()...)
	return append(all, helpers()...)
}

const (
	knows    = "`LISTEN_FDS`, which it knows"
	codes    = "`LISTEN_FDS`, in the application"
	packaged = "package lastcall"
)

func asks(command ...string) version { return version{command: command} }

func python() []server {
	return []server{
		{
			name: "tornado", title: "Tornado", takes: codes,
			version: asks("/usr/bin/python3", "-c", "import tornado; print(tornado.version)"),
			remark:  "It has no drain of its own: that of the application is fifteen lines, which ask clients to go and give requests that are on their way a second.",
		},
		{
			name: "gunicorn", title: "gunicorn, gthread", takes: knows,
			version:  asks("/usr/bin/gunicorn", "--version"),
			remark:   "One worker of its own in each.",
			expected: expected{losesKept: "a worker that ends closes kept connections without looking whether a request has come on them"},
		},
		{
			name: "uvicorn", title: "uvicorn", takes: "`--fd {fd:web}`",
			version: asks("/usr/bin/python3", "-m", "uvicorn", "--version"),
			expected: expected{
				losesKept: "its shutdown closes connections between two requests at once",
				losesEach: "its shutdown closes connections at once whose first request has not come yet",
			},
		},
		{
			name: "uwsgi", title: "uWSGI", takes: knows,
			version: asks("/usr/bin/uwsgi", "--version"),
			expected: expected{
				losesKept: "a worker that is told to end just when it has accepted ends at once",
				losesEach: "the same",
			},
			remark: "`protocol = http` answers one request on a connection, so none is kept. TERM is a reload unless `hook-master-start` gives it another meaning. It says `READY=1` too early, hence `min_uptime`.",
		},
	}
}

func ruby() []server {
	return []server{
		{
			name: "puma", title: "puma", takes: knows,
			version: asks("/usr/bin/puma", "--version"),
			expected: expected{
				losesKept: "a puma that ends closes connections between two requests at once",
				losesEach: "the same of those whose first request has not come yet",
			},
			remark: "In single mode, with `bind_to_activated_sockets \"only\"`. From 6 on it says `READY=1` by itself.",
		},
		{
			name: "unicorn", title: "unicorn", takes: knows,
			version: asks("/usr/bin/unicorn", "--version"),
			remark:  "One worker of its own in each. It keeps no connection.",
		},
	}
}

func node() []server {
	return []server{
		{
			name: "node", title: "Node.js http", takes: "`listen({ fd: 3 })`",
			version:  asks("node", "--version"),
			expected: expected{losesKept: "`server.close()` closes connections between two requests at once"},
		},
		{
			name: "express", title: "express", takes: "`node -r lastcall.js`", npm: true,
			version: asks("node", "-p", "require('express/package.json').version"),
			remark:  "Nothing of it is changed: the preload drains, too.",
		},
	}
}

func proxies() []server {
	return []server{
		{
			name: "nginx", title: "nginx", takes: "`NGINX={fd:web};`", packaged: "app",
			version:  asks("/usr/sbin/nginx", "-v"),
			remark:   "As a proxy of a helper. Its `listen` must name the same address.",
			expected: expected{losesKept: "a worker that ends closes connections between two requests at once"},
		},
		{
			name: "haproxy", title: "HAProxy", takes: "`bind fd@${WEB}`", packaged: "app",
			version:  asks("/usr/sbin/haproxy", "-v"),
			remark:   "As a proxy of a helper, with `http-reuse never`: this version may die by SIGSEGV at the end of its soft stop when it has idle connections to servers.",
			expected: expected{losesKept: "a soft stop closes connections between two requests"},
		},
	}
}

func golang() []server {
	module := func(path string) version { return version{module: path} }
	return []server{
		{
			name: "stock", title: "Go net/http, without the package", takes: codes,
			version: asks("go", "version"),
			expected: expected{
				losesKept: "`Shutdown` closes connections between two requests at once",
				losesEach: "`Shutdown` drops requests that it has read and not begun with",
			},
		},
		{name: "nethttp", title: "Go net/http", takes: packaged, packaged: "web", version: asks("go", "version")},
		{name: "gin", title: "gin", takes: packaged, packaged: "web", version: module("github.com/gin-gonic/gin")},
		{name: "echo", title: "echo", takes: packaged, packaged: "web", version: module("github.com/labstack/echo/v4")},
		{name: "chi", title: "chi", takes: packaged, packaged: "web", version: module("github.com/go-chi/chi/v5")},
		{
			name: "fiber", title: "fiber (fasthttp)", takes: packaged, packaged: "web", version: module("github.com/gofiber/fiber/v3"),
			remark:   "It is no net/http: it goes in as a gRPC server does, by Serve, GracefulStop and Stop, so its requests cannot be listed, nor its connections moved.",
			expected: expected{losesKept: "its shutdown closes connections between two requests at once"},
		},
		{
			name: "grpc", title: "grpc-go", takes: packaged, packaged: "web", client: grpcClient{}, version: module("google.golang.org/grpc"),
			remark: "The client may send again, and does, what the server says it has not begun with (GOAWAY).",
		},
		{
			name: "connect", title: "connect-go", takes: packaged, packaged: "web", client: connectClient{}, version: module("connectrpc.com/connect"),
			remark: "Unary calls, over HTTP/1.1.",
		},
	}
}

func helpers() []server {
	return []server{
		{
			name: "redis", title: "Redis, a helper", takes: packaged, packaged: "web",
			version: asks("redis-server", "--version"),
			remark:  "Of a Go server whose every request needs it, to its end. It is stopped last, by its own command.",
		},
		{
			name: "postgresql", title: "PostgreSQL, a helper", takes: packaged, packaged: "web",
			owner: "postgres", search: "/usr/lib/postgresql/*/bin", version: asks("psql", "--version"),
			remark: "The same. It is stopped last, by INT, its fast shutdown.",
		},
	}
}
