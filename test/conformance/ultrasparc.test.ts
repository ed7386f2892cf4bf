import { conformance } from './suite.ts';
import { ultrasparc } from './ultrasparc-subject.ts';

conformance(ultrasparc);
