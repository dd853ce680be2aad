# A FastCGI responder by Ruby's fcgi that does what responder.c does.
require 'fcgi'

TEXT = "Content-Type: text/plain\r\n\r\n"

def stream(request)
  request.out.print TEXT
  (1..5).each do |n|
    request.out.print "line #{n}\n"
    request.out.flush
    sleep 0.02 until File.exist?("#{request.env['QUERY_STRING']}/#{n}") || Process.ppid == 1
  end
end

def echo(request)
  request.out.print "Content-Type: application/octet-stream\r\nX-Method: #{request.env['REQUEST_METHOD']}\r\n" \
                    "X-Length: #{request.env['CONTENT_LENGTH'] || '(none)'}\r\n\r\n"
  request.out.print request.in.read
end

def answer(request)
  out = request.out
  case request.env['REQUEST_URI'][%r{/([^/?]*)(?:\?|$)}, 1]
  when 'echo' then echo(request)
  when 'env' then out.print TEXT, *request.env.map { |name, value| "#{name}=#{value}\n" }
  when 'long' then out.print "Content-Type: text/plain\r\n", *('A'..'D').map { |name| "X-#{name}: #{'x' * 15_000}\r\n" }, "\r\nlong\n"
  when 'stream' then stream(request)
  when '304' then out.print "Status: 304 Not Modified\r\nETag: \"abc\"\r\n\r\n"
  when 'stderr'
    request.err.print 'e' * (1 << 20)
    out.print TEXT, "hello\n"
  when 'die' then exit! 3
  when 'cut'
    out.print TEXT, "the first half\n"
    out.flush
    Process.kill :KILL, Process.pid
  when 'pid' then out.print TEXT, "#{Process.pid}\n"
  else out.print TEXT, "hello\n"
  end
end

FCGI.each do |request|
  answer request
  request.finish
end
