package dev.sanderling;

import java.util.Map;

/** What an updater says of itself, as of its last step. */
public final class UpdaterState {
    private final Map<String, String> values;

    UpdaterState(Map<String, String> values) {
        this.values = values;
    }

    /** This device's id: the hash of its key. */
    public String device() {
        return values.get("device");
    }

    /** The fleet server's address. */
    public String server() {
        return values.get("server");
    }

    /** Whether the server knows the device. */
    public boolean enrolled() {
        return Boolean.parseBoolean(values.get("enrolled"));
    }

    /** Idle, Downloading, SelfTest, Trial or NoModel. */
    public String phase() {
        return values.get("phase");
    }

    /** SHA-256 of the image that answers; null where there is none. */
    public String image() {
        return values.get("image");
    }

    /** Where it lies: `factory`, `slot a` or `slot b`; null where there is none. */
    public String place() {
        return values.get("place");
    }

    /** Its model's name. */
    public String model() {
        return values.get("model");
    }

    /** Its model's version. */
    public String version() {
        return values.get("version");
    }

    /** The image that the device would go back to; null where there is none. */
    public String standby() {
        return values.get("standby");
    }

    /** SHA-256 of the bundle that came with the app; null where there is none. */
    public String factory() {
        return values.get("factory");
    }

    /** The only certificate authority that may vouch for the server (X.509, DER); null: the platform's. */
    byte[] tlsCa() {
        String hex = values.get("tlsCa");
        if (hex == null) {
            return null;
        }
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    @Override
    public String toString() {
        return phase() + ", answers from " + model() + " " + version() + " (" + place() + ")";
    }
}
