-- When answers of an image were last reported, server's time: at the bound, the one longest unused goes. 0 before this column.
ALTER TABLE serving ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
