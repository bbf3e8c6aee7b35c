package dev.sanderling;

/** What went wrong: a text that says what, where and what to do, and a kind by who can mend it. Each kind has its class. */
public class SanderlingException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Who can mend it. */
    public enum Kind {
        /** An argument of the call: null, a heap buffer, a number out of range. */
        ARGUMENT,
        /** The bundle: damaged, of another version, in need of what this library has not. */
        BUNDLE,
        /** An input of the model: its name, type, shape or values. */
        INPUT,
        /** The run itself. */
        RUN,
        /** Another thread is using the session or stepping the updater. */
        BUSY,
        /** A file that cannot be read. */
        FILE,
        /** A fault of the library: please report it. */
        INTERNAL,
        /** The session or updater was closed. */
        CLOSED,
        /** The updater's state folder or enrolment string. */
        STATE,
        /** There is no intact model: neither in a slot nor from the factory. */
        NO_MODEL,
        /** More memory than the limit allows. */
        TOO_LARGE
    }

    private final Kind kind;

    private SanderlingException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    /** Who can mend it. */
    public Kind kind() {
        return kind;
    }

    /** The exception of a kind by its number; native methods call it. */
    static SanderlingException of(int kind, String message) {
        switch (kind) {
            case 1:
                return new Argument(message);
            case 2:
                return new Bundle(message);
            case 3:
                return new Input(message);
            case 4:
                return new Run(message);
            case 5:
                return new Busy(message);
            case 6:
                return new File(message);
            case 8:
                return new Closed(message);
            case 9:
                return new State(message);
            case 10:
                return new NoModel(message);
            case 11:
                return new TooLarge(message);
            default:
                return new Internal(message);
        }
    }

    /** {@link Kind#ARGUMENT}. */
    public static final class Argument extends SanderlingException {
        private static final long serialVersionUID = 1;

        Argument(String message) {
            super(Kind.ARGUMENT, message);
        }
    }

    /** {@link Kind#BUNDLE}. */
    public static final class Bundle extends SanderlingException {
        private static final long serialVersionUID = 1;

        Bundle(String message) {
            super(Kind.BUNDLE, message);
        }
    }

    /** {@link Kind#INPUT}. */
    public static final class Input extends SanderlingException {
        private static final long serialVersionUID = 1;

        Input(String message) {
            super(Kind.INPUT, message);
        }
    }

    /** {@link Kind#RUN}. */
    public static final class Run extends SanderlingException {
        private static final long serialVersionUID = 1;

        Run(String message) {
            super(Kind.RUN, message);
        }
    }

    /** {@link Kind#BUSY}. */
    public static final class Busy extends SanderlingException {
        private static final long serialVersionUID = 1;

        Busy(String message) {
            super(Kind.BUSY, message);
        }
    }

    /** {@link Kind#FILE}. */
    public static final class File extends SanderlingException {
        private static final long serialVersionUID = 1;

        File(String message) {
            super(Kind.FILE, message);
        }
    }

    /** {@link Kind#INTERNAL}. */
    public static final class Internal extends SanderlingException {
        private static final long serialVersionUID = 1;

        Internal(String message) {
            super(Kind.INTERNAL, message);
        }
    }

    /** {@link Kind#CLOSED}. */
    public static final class Closed extends SanderlingException {
        private static final long serialVersionUID = 1;

        Closed(String message) {
            super(Kind.CLOSED, message);
        }
    }

    /** {@link Kind#STATE}. */
    public static final class State extends SanderlingException {
        private static final long serialVersionUID = 1;

        State(String message) {
            super(Kind.STATE, message);
        }
    }

    /** {@link Kind#NO_MODEL}. */
    public static final class NoModel extends SanderlingException {
        private static final long serialVersionUID = 1;

        NoModel(String message) {
            super(Kind.NO_MODEL, message);
        }
    }

    /** {@link Kind#TOO_LARGE}. */
    public static final class TooLarge extends SanderlingException {
        private static final long serialVersionUID = 1;

        TooLarge(String message) {
            super(Kind.TOO_LARGE, message);
        }
    }
}
