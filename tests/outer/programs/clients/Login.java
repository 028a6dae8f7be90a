import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Java's own WebSocket logs in, asks the chat who it is, and prints the answer or the status:
 * Login.java URL password USER FILE, Login.java URL header VALUE, Login.java URL certificate CA
 * PKCS12 or Login.java URL nobody [CA]. FILE has the password; that of the PKCS12 is "x".
 */
class Login {
    public static void main(String[] arguments) throws Exception {
        HttpClient.Builder client = HttpClient.newBuilder();
        String way = arguments[1];
        if (way.equals("password")) {
            char[] password = Files.readString(Path.of(arguments[3]), StandardCharsets.UTF_8).toCharArray();
            client.authenticator(new Authenticator() {
                @Override
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(arguments[2], password);
                }
            });
        } else if (!way.equals("header") && arguments.length > 2) {
            client.sslContext(context(arguments[2], arguments.length > 3 ? arguments[3] : null));
        }
        WebSocket.Builder builder = client.build().newWebSocketBuilder();
        if (way.equals("header")) {
            builder.header("Authorization", arguments[2]);
        }
        CompletableFuture<String> answer = new CompletableFuture<>();
        try {
            WebSocket socket = builder.buildAsync(URI.create(arguments[0]), listener(answer)).join();
            socket.sendText("WSHello", true).join();
            System.out.println(answer.get(60, TimeUnit.SECONDS));
            socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
        } catch (CompletionException refused) {
            if (!(refused.getCause() instanceof WebSocketHandshakeException handshake)) {
                throw refused;
            }
            System.out.println(handshake.getResponse().statusCode());
        }
        // Threads of the client go on otherwise.
        System.exit(0);
    }

    private static WebSocket.Listener listener(CompletableFuture<String> answer) {
        return new WebSocket.Listener() {
            @Override
            public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
                answer.complete(text.toString());
                return null;
            }

            @Override
            public void onError(WebSocket socket, Throwable error) {
                answer.completeExceptionally(error);
            }
        };
    }

    private static SSLContext context(String authority, String own) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (var file = Files.newInputStream(Path.of(authority))) {
            var certificate = CertificateFactory.getInstance("X.509").generateCertificate(file);
            trusted.setCertificateEntry("authority", certificate);
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        KeyStore pair = own == null ? null : KeyStore.getInstance(Path.of(own).toFile(), "x".toCharArray());
        keys.init(pair, "x".toCharArray());
        var context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }
}
