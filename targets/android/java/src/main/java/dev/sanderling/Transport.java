package dev.sanderling;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.util.Collections;
import java.util.Map;

/** Carries an updater's requests to the fleet server: {@link HttpTransport}, or the app's own client. */
public interface Transport {
    /**
     * Carries out a request: to its address and no other (no redirects), whole or not at all. Called on the thread of {@link
     * Updater#work}.
     *
     * @throws IOException where there is no answer; {@link java.net.ConnectException}, {@link java.net.UnknownHostException}
     *     and {@link java.net.SocketTimeoutException} are told apart from others.
     */
    Response send(Request request) throws IOException;

    /** A request. It is signed: send it as it is. */
    final class Request {
        final long id;
        private final String method;
        private final String url;
        private final Map<String, String> headers;
        private final byte[] body;
        private final long maxBody;
        private final int timeoutSeconds;

        Request(
                long id,
                String method,
                String url,
                Map<String, String> headers,
                byte[] body,
                long maxBody,
                int timeoutSeconds) {
            this.id = id;
            this.method = method;
            this.url = url;
            this.headers = Collections.unmodifiableMap(headers);
            this.body = body;
            this.maxBody = maxBody;
            this.timeoutSeconds = timeoutSeconds;
        }

        /** GET or POST. */
        public String method() {
            return method;
        }

        /** The whole address. */
        public String url() {
            return url;
        }

        /** Names, in lower case, and values. */
        public Map<String, String> headers() {
            return headers;
        }

        /** The body; empty for GET. */
        public byte[] body() {
            return body;
        }

        /** Most bytes of the answer's body: what is longer is given up. */
        public long maxBody() {
            return maxBody;
        }

        /** Seconds for the whole exchange. */
        public int timeoutSeconds() {
            return timeoutSeconds;
        }
    }

    /** An answer. It is read to its end, or closed before. */
    interface Response extends Closeable {
        /** The status code. */
        int status();

        /** A header by its name, in any case; null where there is none. */
        String header(String name);

        /** The body, as it comes. */
        InputStream body() throws IOException;
    }
}
