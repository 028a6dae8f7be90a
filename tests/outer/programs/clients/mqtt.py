"""paho over WebSocket: subscribes, publishes, and prints what comes back."""

import sys

import paho.mqtt.client as mqtt


def on_connect(client, *_):
    client.subscribe("a/b")


def on_subscribe(client, *_):
    client.publish("a/b", "from paho")


def on_message(client, _, message):
    print(message.topic, message.payload.decode())
    client.disconnect()


client = mqtt.Client(transport="websockets")
client.ws_set_options(path="/mqtt")
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
