run lambda { |env|
  body = "ok\n"
  if env["PATH_INFO"] == "/slow"
    sleep 1
    body = "done\n"
  end
  [200, { "Content-Type" => "text/plain", "Content-Length" => body.bytesize.to_s }, [body]]
}
