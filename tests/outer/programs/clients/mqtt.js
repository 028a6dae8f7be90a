// MQTT.js over WebSocket: subscribes, publishes, and prints what comes back.
const client = require("mqtt").connect(process.argv[2]);
client.on("connect", () => client.subscribe("a/b", () => client.publish("a/b", "from MQTT.js")));
client.on("message", (topic, message) => {
  console.log(topic, message.toString());
  client.end();
});
client.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
