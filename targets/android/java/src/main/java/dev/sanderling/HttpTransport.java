package dev.sanderling;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/** The platform's own HTTP client: its trust store, proxy settings and network security configuration hold. */
public final class HttpTransport implements Transport {
    private static final int CONNECT_MS = 10_000;
    private final SSLSocketFactory trust;

    /** Trusts whom the platform trusts. */
    public HttpTransport() {
        trust = null;
    }

    /** Trusts whom the updater's enrolment string names: its own authority where there is one, else whom the platform trusts. */
    public HttpTransport(Updater updater) {
        byte[] authority = updater.state().tlsCa();
        try {
            trust = authority == null ? null : only(authority);
        } catch (GeneralSecurityException | IOException error) {
            throw new SanderlingException.State(
                    "the certificate authority in the enrolment string cannot be used: " + error.getMessage());
        }
    }

    private static SSLSocketFactory only(byte[] authority) throws GeneralSecurityException, IOException {
        Certificate certificate =
                CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(authority));
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setCertificateEntry("fleet", certificate);
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    @Override
    public Response send(Request request) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(request.url()).openConnection();
        if (trust != null && connection instanceof HttpsURLConnection) {
            ((HttpsURLConnection) connection).setSSLSocketFactory(trust);
        }
        connection.setInstanceFollowRedirects(false);
        connection.setUseCaches(false);
        connection.setConnectTimeout(CONNECT_MS);
        connection.setReadTimeout(request.timeoutSeconds() * 1000);
        connection.setRequestMethod(request.method());
        request.headers().forEach(connection::setRequestProperty);
        // Ranges and digests are of the bytes as they are.
        connection.setRequestProperty("accept-encoding", "identity");
        if (request.method().equals("POST")) {
            connection.setDoOutput(true);
            connection.setFixedLengthStreamingMode(request.body().length);
            try (OutputStream out = connection.getOutputStream()) {
                out.write(request.body());
            }
        }
        return new Answered(connection, connection.getResponseCode());
    }

    private static final class Answered implements Response {
        private final HttpURLConnection connection;
        private final int status;

        Answered(HttpURLConnection connection, int status) {
            this.connection = connection;
            this.status = status;
        }

        @Override
        public int status() {
            return status;
        }

        @Override
        public String header(String name) {
            return connection.getHeaderField(name);
        }

        @Override
        public InputStream body() throws IOException {
            InputStream body = status >= 400 ? connection.getErrorStream() : connection.getInputStream();
            return body == null ? new ByteArrayInputStream(new byte[0]) : body;
        }

        @Override
        public void close() throws IOException {
            // A body that was read to its end leaves the connection for the next request.
            body().close();
        }
    }
}
