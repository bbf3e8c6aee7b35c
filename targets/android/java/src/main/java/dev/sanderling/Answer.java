package dev.sanderling;

import java.util.Collections;
import java.util.List;

/** What a classifier answers. */
public final class Answer {
    private final String label;
    private final float confidence;
    private final List<Scored> top;
    private final boolean rule;
    private final boolean belowThreshold;
    private final boolean flagged;

    Answer(String label, float confidence, List<Scored> top, boolean rule, boolean belowThreshold, boolean flagged) {
        this.label = label;
        this.confidence = confidence;
        this.top = Collections.unmodifiableList(top);
        this.rule = rule;
        this.belowThreshold = belowThreshold;
        this.flagged = flagged;
    }

    /** The label. */
    public String label() {
        return label;
    }

    /** Score of the best label. */
    public float confidence() {
        return confidence;
    }

    /** The best labels, best first. */
    public List<Scored> top() {
        return top;
    }

    /** Whether a rule answered, without the model. */
    public boolean rule() {
        return rule;
    }

    /** Whether the score was below the label's threshold. */
    public boolean belowThreshold() {
        return belowThreshold;
    }

    /** Whether the input was flagged. */
    public boolean flagged() {
        return flagged;
    }

    @Override
    public String toString() {
        return label + " (" + confidence + ")";
    }

    /** A label and its score. */
    public static final class Scored {
        private final String label;
        private final int index;
        private final float score;

        Scored(String label, int index, float score) {
            this.label = label;
            this.index = index;
            this.score = score;
        }

        /** The label. */
        public String label() {
            return label;
        }

        /** Its index. */
        public int index() {
            return index;
        }

        /** Its score. */
        public float score() {
            return score;
        }
    }
}
