import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Makes the calls of a plan with Java's HttpClient, and prints what came of each. Arguments: KIND URL PLAN. */
public class ByJava {
    public static void main(String[] arguments) throws Exception {
        boolean two = arguments[0].equals("java-2");
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        int count = 0;
        try (var file = new FileInputStream(System.getenv("SSL_CERT_FILE"))) {
            for (var one : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                store.setCertificateEntry("c" + count++, one);
            }
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        URI proxy = URI.create(System.getenv("HTTPS_PROXY"));
        // The plan as lines: SITUATION|METHOD BYTES PAUSE EXPECT|...
        for (String line : arguments[2].split("\n")) {
            String[] calls = line.split("\\|");
            HttpClient client = HttpClient.newBuilder().sslContext(context)
                .proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort())))
                .version(two ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1).build();
            StringBuilder results = new StringBuilder();
            for (int number = 1; number < calls.length; number++) {
                String[] parts = calls[number].split(" ");
                Thread.sleep((long) (Double.parseDouble(parts[2]) * 1000));
                int size = Integer.parseInt(parts[1]);
                var body = size == 0 ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofByteArray(new byte[size]);
                var url = URI.create(arguments[1].replace("SITUATION", calls[0] + "/" + (number - 1)));
                var request = HttpRequest.newBuilder(url).method(parts[0], body).timeout(Duration.ofSeconds(15))
                    .expectContinue(parts[3].equals("1")).build();
                long began = System.nanoTime();
                String result;
                try {
                    HttpResponse<java.io.InputStream> answer = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
                    long total = 0;
                    double first = 0;
                    byte[] buffer = new byte[64];
                    for (int n; (n = answer.body().read(buffer)) > 0; total += n) {
                        if (first == 0) first = (System.nanoTime() - began) / 1e9;
                    }
                    result = "[" + answer.statusCode() + "," + total + "," + first + "," + (System.nanoTime() - began) / 1e9 + "]";
                } catch (Exception error) {
                    result = "[\"error\",0,0,0,\"" + String.valueOf(error).replaceAll("[^ -~]|[\"\\\\]", "?") + "\"]";
                }
                results.append(results.length() == 0 ? "" : ",").append(result);
            }
            System.out.println("[\"" + calls[0] + "\",[" + results + "]]");
        }
        System.exit(0);
    }
}
