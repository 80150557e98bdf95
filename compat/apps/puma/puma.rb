# No workers: that is lastcall's part. No bind: the socket is passed.
bind_to_activated_sockets "only"
threads 4, 4
environment "production"
