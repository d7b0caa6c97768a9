<?php
// Sends what the PHP client of the Tracking API sends, by the library that it uses: Guzzle.
//
//     php client.php URL PROJECT_TOKEN KEY_ID KEY_SECRET calls|events

require '/usr/share/php/GuzzleHttp/autoload.php';

use GuzzleHttp\Client;
use GuzzleHttp\HandlerStack;
use GuzzleHttp\Middleware;

[, $url, $token, $id, $secret, $what] = $argv;
const EVENTS = 200;

function client($id, $secret, $stack = null)
{
    global $url;
    return new Client([
        'base_uri' => $url,
        'handler' => $stack ?? HandlerStack::create(),
        'http_errors' => false,
        'timeout' => 30,
        'headers' => [
            'Accept' => 'application/json',
            'Content-Type' => 'application/json',
            'Authorization' => 'basic ' . base64_encode("$id:$secret"),
        ],
    ]);
}

function call($client, $route, $body)
{
    global $token;
    $path = "/track/v2/projects/$token/$route";
    return $client->post($path, ['body' => json_encode($body)]);
}

function event($n, $type = 'visit')
{
    $ids = ['registered' => 'php@example.com'];
    $properties = $n === null ? new stdClass() : ['n' => $n];
    return ['customer_ids' => $ids, 'event_type' => $type, 'timestamp' => 1700000000.25 + $n, 'properties' => $properties];
}

function told($response)
{
    $answer = json_decode($response->getBody(), true, 512, JSON_THROW_ON_ERROR);
    return $response->getStatusCode() . ' ' . ($answer['success'] ? 'true' : $answer['errors'][0]);
}

function calls($client)
{
    global $id, $secret, $token;
    // The client sends its content type with a GET, too.
    $time = json_decode($client->get("/track/v2/projects/$token/system/time")->getBody(), true)['time'];
    echo 'time: ', abs($time - time()) < 60 ? 'now' : $time, "\n";
    echo 'event: ', told(call($client, 'customers/events', event(null))), "\n";
    $update = ['customer_ids' => event(0)['customer_ids'], 'properties' => ['name' => 'Žofie', 'tags' => []]];
    echo 'update: ', told(call($client, 'customers', $update)), "\n";
    $batch = call($client, 'batch', ['commands' => [
        ['name' => 'customers/events', 'data' => event(1)],
        ['name' => 'customers/events', 'data' => ['customer_ids' => ['registered' => null]] + event(2)],
        ['name' => 'customers', 'data' => ['customer_ids' => $update['customer_ids'], 'properties' => ['plan' => 'pro']]],
    ]]);
    foreach (json_decode($batch->getBody(), true)['results'] as $result) {
        echo 'batch: ', $result['success'] ? 'true' : $result['errors'][0], "\n";
    }
    echo 'no type: ', told(call($client, 'customers/events', event(3, null))), "\n";
    echo 'wrong secret: ', told(call(client($id, 'wrong'), 'customers/events', event(4))), "\n";
    echo 'wrong key: ', told(call(client('wrong', $secret), 'customers/events', event(5))), "\n";
}

/** Sends events one by one, each until it is taken. */
function events()
{
    global $id, $secret;
    $seen = [];
    $again = function ($tries, $request, $response, $error) use (&$seen) {
        $status = $response ? $response->getStatusCode() : 0;
        if ($error === null && !in_array($status, [429, 503])) {
            return false;
        }
        if (!isset($seen[$status])) {
            $seen[$status] = true;
            echo "refused: $status\n";
        }
        return $tries < 300;
    };
    $delay = function ($tries, $response) {
        return $response ? 1000 * (int) $response->getHeaderLine('Retry-After') : 100;
    };
    $stack = HandlerStack::create();
    $stack->push(Middleware::retry($again, $delay));
    $client = client($id, $secret, $stack);
    for ($n = 1; $n <= EVENTS; $n++) {
        $answer = told(call($client, 'customers/events', event($n)));
        if ($answer !== '200 true') {
            exit("event $n: $answer\n");
        }
        if ($n % 100 === 0) {
            echo "sent: $n\n";
        }
    }
}

if ($what === 'calls') {
    calls(client($id, $secret));
} else {
    events();
}
