# Sends what a Ruby client sends, by the language's own net/http over a connection that is kept.
#
#     ruby client.rb URL PROJECT_TOKEN KEY_ID KEY_SECRET calls|events

require "json"
require "net/http"

URL = URI(ARGV[0])
TOKEN, ID, SECRET, WHAT = ARGV[1..]
EVENTS = 200
CUT = [EOFError, IOError, SystemCallError, Timeout::Error].freeze

def call(http, route, body = nil, id: ID, secret: SECRET)
  path = "/track/v2/projects/#{TOKEN}/#{route}"
  request = body ? Net::HTTP::Post.new(path) : Net::HTTP::Get.new(path)
  request.basic_auth(id, secret)
  request["Content-Type"] = "application/json"
  request.body = body.to_json if body
  http.request(request)
end

def event(n = nil, type = "visit")
  properties = n && { n: n }
  { customer_ids: { registered: "ruby@example.com" }, event_type: type, timestamp: 1_700_000_000.25 + n.to_i, properties: properties }
end

def told(response)
  answer = JSON.parse(response.body)
  "#{response.code} #{answer['success'] || answer['errors'][0]}"
end

def calls(http)
  time = JSON.parse(call(http, "system/time").body)["time"]
  puts "time: #{(time - Time.now.to_f).abs < 60 ? 'now' : time}"
  puts "event: #{told(call(http, 'customers/events', event))}"
  customer = { customer_ids: { registered: "ruby@example.com" } }
  puts "update: #{told(call(http, 'customers', customer.merge(properties: { name: 'Žofie', tags: [] })))}"
  commands = [
    { name: "customers/events", data: event(1) },
    { name: "customers/events", data: event(2).merge(customer_ids: { registered: nil }) },
    { name: "customers", data: customer.merge(properties: { plan: "pro" }) },
  ]
  JSON.parse(call(http, "batch", { commands: commands }).body)["results"].each do |result|
    puts "batch: #{result['success'] || result['errors'][0]}"
  end
  puts "no type: #{told(call(http, 'customers/events', event(3, nil)))}"
  puts "wrong secret: #{told(call(http, 'customers/events', event(4), secret: 'wrong'))}"
  puts "wrong key: #{told(call(http, 'customers/events', event(5), id: 'wrong'))}"
end

# Sends a body until it is taken.
def deliver(http, body, seen)
  300.times do
    begin
      http.start unless http.started?
      response = call(http, "customers/events", body)
      status = response.code.to_i
      return if status == 200
      abort told(response) unless [429, 503].include?(status)
    rescue *CUT
      http.finish if http.started?
      status = 0
    end
    puts "refused: #{status}" if seen.none?(status)
    seen << status
    sleep(status.zero? ? 0.1 : response["Retry-After"].to_i)
  end
  abort "not taken"
end

$stdout.sync = true
http = Net::HTTP.new(URL.host, URL.port)
http.read_timeout = 30
if WHAT == "calls"
  http.start { calls(http) }
else
  seen = []
  (1..EVENTS).each do |n|
    deliver(http, event(n), seen)
    puts "sent: #{n}" if (n % 100).zero?
  end
end
